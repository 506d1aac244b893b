-- Makes the ASCII form of a label of a domain (RFC 3492): of `bücher`, `xn--bcher-kva`. A label of
-- more than 63 characters is in no domain, and stays as it is.
CREATE OR REPLACE FUNCTION punycode(label text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    codes integer[] := ARRAY(SELECT ascii(sign) FROM regexp_split_to_table(label, '') AS sign);
    coded text := regexp_replace(label, '[^\x01-\x7f]', '', 'g');
    basic integer := length(coded);
    handled integer := basic;
    lowest integer := 128;
    delta bigint := 0;
    bias bigint := 72;
    code integer;
    rest bigint;
    place bigint;
    threshold bigint;
BEGIN
    IF octet_length(label) = length(label) OR length(label) > 63 THEN
        RETURN label;
    END IF;
    coded := 'xn--' || coded || CASE WHEN basic > 0 THEN '-' ELSE '' END;
    WHILE handled < cardinality(codes) LOOP
        code := (SELECT min(one) FROM unnest(codes) AS one WHERE one >= lowest);
        delta := delta + (code - lowest) * (handled + 1)::bigint;
        lowest := code;
        FOREACH code IN ARRAY codes LOOP
            delta := delta + (code < lowest)::integer;
            CONTINUE WHEN code <> lowest;
            rest := delta;
            place := 36;
            LOOP
                threshold := greatest(1, least(26, place - bias));
                EXIT WHEN rest < threshold;
                coded := coded || substr('abcdefghijklmnopqrstuvwxyz0123456789',
                    (threshold + (rest - threshold) % (36 - threshold))::integer + 1, 1);
                rest := (rest - threshold) / (36 - threshold);
                place := place + 36;
            END LOOP;
            coded := coded || substr('abcdefghijklmnopqrstuvwxyz0123456789', rest::integer + 1, 1);
            handled := handled + 1;
            delta := delta / CASE WHEN handled = basic + 1 THEN 700 ELSE 2 END;
            delta := delta + delta / handled;
            bias := 0;
            WHILE delta > 455 LOOP
                delta := delta / 35;
                bias := bias + 36;
            END LOOP;
            bias := bias + 36 * delta / (delta + 38);
            delta := 0;
        END LOOP;
        delta := delta + 1;
        lowest := lowest + 1;
    END LOOP;
    RETURN coded;
END $$;
