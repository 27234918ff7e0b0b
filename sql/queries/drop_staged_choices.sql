-- Forget what was compared.
DROP TABLE staged_choices;
