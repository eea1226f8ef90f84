package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// An app is one run of the program: its settings, and where it prints.
type app struct {
	output
	getenv func(string) string

	homeFlag string
	started  bool // the arguments were good and a command began
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "rhizome",
		Short: "A personal replicated file system",
		Long: `Rhizome gives every identity you own a directory tree. Any program reads and writes there.

  rhizome mount              mount ~/Rhizome, and stay until interrupted (--detach: in the background)
  rhizome status             how things are
  rhizome unmount            unmount, and end the daemon
  rhizome identity phrase    the words that bring everything back: write them down
  rhizome backup DIR         copy everything, sealed; "rhizome recover" brings it back with the words`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().StringVar(&a.homeFlag, "home", "",
		"the store's directory (default $RHIZOME_HOME, else $XDG_DATA_HOME/rhizome or ~/.local/share/rhizome)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON: one object, or for lists one object a line")
	root.AddCommand(
		newMount(a), newUnmount(a), newStatus(a), newLog(a), newIdentity(a),
		newHistory(a), newRestore(a), newUndo(a), newDiff(a),
		newSnapshot(a), newRetention(a), newGC(a), newBackup(a), newRecover(a), newExport(a), newUnpack(a),
		newDoctor(a), newVerify(a), newService(a), newVersion(a),
	)
	return root
}

// group is a command that only holds others.
func group(cmd *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	cmd.Args = noArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(subs...)
	return cmd
}

// noArgs refuses arguments: on a command that holds others they are misspelt commands.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("unknown command %q", cmd.CommandPath()+" "+args[0])
	}
	return fmt.Errorf("%q takes no arguments", cmd.CommandPath())
}

// argsBetween wants from low to high arguments.
func argsBetween(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return fmt.Errorf("an argument is missing: %s", cmd.UseLine())
		case len(args) > high:
			return fmt.Errorf("too many arguments: %s", cmd.UseLine())
		}
		return nil
	}
}
