-- Small batches of results are one statement, which raises this where it took for granted what is not so.
CREATE FUNCTION not_as_expected() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not as expected' USING ERRCODE = 'check_violation';
END $$;
