-- Remember what a run was asked for; a run is recorded with its first round.
INSERT INTO runs VALUES ($run, $settings, $inputs, $models) ON CONFLICT DO NOTHING;
