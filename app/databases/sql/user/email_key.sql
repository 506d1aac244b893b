-- Makes the key by which e-mail addresses are compared: without invisible characters (those that
-- the API refuses in new ones), the local part folded, the domain in its ASCII form. An address of
-- more than 600 characters is nobody's; the key is cut there, so that it fits into the index.
CREATE OR REPLACE FUNCTION email_key(email text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    visible text := regexp_replace(email,
        '[\u0001-\u0020\u007f-\u00a0\u00ad\u034f\u061c\u115f\u1160'
        '\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164'
        '\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a'
        '\U000e0000-\U000e0fff]', '', 'g');
    at integer := length(visible) - strpos(reverse(visible), '@') + 1;
BEGIN
    IF strpos(visible, '@') = 0 THEN
        RETURN left(fold_case(visible), 600);
    END IF;
    RETURN left(
        fold_case(left(visible, at - 1)) || '@' || ascii_domain(substr(visible, at + 1)), 600);
END $$;
