-- The data of the user's own files is a kind of its own.
ALTER TABLE logs_data_origin DROP CONSTRAINT logs_data_origin_origin_check;
ALTER TABLE logs_data_origin
    ADD CONSTRAINT logs_data_origin_origin_check CHECK (origin IN ('real', 'synthetic', 'files'));
