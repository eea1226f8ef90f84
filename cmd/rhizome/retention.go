package main

import (
	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
)

func newRetention(a *app) *cobra.Command {
	var to control.RetentionTimes
	cmd := &cobra.Command{
		Use:   "retention [PATH]",
		Short: "Show or change how long history is kept: of all volumes, or the one that PATH is in",
		Long: `Show how long history is kept, or change it: everything for a time, then what was there at each full hour, then each
day, then each week. Of a file with many versions one a minute is kept after an hour, and one an hour after a day,
unless everything is kept for ever. Lengths of time are 12h, 30d, 8w, forever, or 0 for none of this kind.

It counts on this device only. What is gone does not come back.`,
		Args: argsBetween(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			w, _, err := a.where(cmd.Context(), args)
			if err != nil {
				return err
			}
			q := control.RetentionRequest{Volume: w.Volume}
			if to != (control.RetentionTimes{}) {
				q.Change = &to
			}
			rs, err := question(cmd.Context(), a, control.RetentionRoute, q)
			if err != nil {
				return err
			}
			if !a.json {
				rs = append([]control.Retention{{}}, rs...) // the heading
			}
			return list(&a.output, rs, func(r control.Retention) string {
				if r.Label == "" {
					return "VOLUME\tEVERYTHING\tHOURLY\tDAILY\tWEEKLY\tSINCE"
				}
				since := "its beginning"
				if r.Since != nil {
					since = localTime(*r.Since)
				}
				t := r.Times
				return r.Label.String() + "\t" + t.All + "\t" + t.Hourly + "\t" + t.Daily + "\t" + t.Weekly + "\t" + since
			})
		},
	}
	cmd.Flags().StringVar(&to.All, "all", "", "keep everything for so long")
	cmd.Flags().StringVar(&to.Hourly, "hourly", "", "after that, what was there at each full hour")
	cmd.Flags().StringVar(&to.Daily, "daily", "", "after that, what was there at the beginning of each day")
	cmd.Flags().StringVar(&to.Weekly, "weekly", "", "after that, of each week")
	return cmd
}
