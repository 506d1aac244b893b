-- Makes the ASCII form of a domain, as a mail server looks it up: folded as UTS 46 does it (which
-- keeps ß and ς: they are letters of their own there), each label in punycode.
CREATE OR REPLACE FUNCTION ascii_domain(domain text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    kept CONSTANT text := E'\u00df\u03c2\u1e9e';
    stand_ins CONSTANT text := E'\ufdd0\ufdd1\ufdd0'; -- which are no characters, in no domain
    folded text;
BEGIN
    IF octet_length(domain) = length(domain) THEN
        RETURN rtrim(lower(domain COLLATE "C"), '.');
    END IF;
    folded := fold_case(normalize(translate(domain, kept, stand_ins), NFKC));
    folded := normalize(translate(folded, stand_ins || E'\u3002', kept || '.'), NFKC);
    RETURN rtrim(
        (SELECT string_agg(punycode(label), '.' ORDER BY place)
         FROM regexp_split_to_table(folded, '\.') WITH ORDINALITY AS labels (label, place)), '.');
END $$;
