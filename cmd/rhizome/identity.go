package main

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rhizome-fs/rhizome/internal/control"
	"github.com/rhizome-fs/rhizome/internal/daemon"
)

func newIdentity(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use:   "identity",
		Short: "Make, list and rename identities; show a recovery phrase",
	}, newIdentityNew(a), newIdentityList(a), newIdentityRename(a), newPhrase(a))
}

func newIdentityNew(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Make an identity, with a directory of that name in the mount",
		Args:  argsBetween(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asText(args[0]); err != nil {
				return err
			}
			id, err := question(cmd.Context(), a, control.IdentityNew, control.IdentityNewRequest{Name: args[0]})
			if err != nil {
				return err
			}
			if a.json {
				return a.object(id)
			}
			a.printf("Made the identity %s: %s\n", control.Name(id.Name), id.ID)
			return a.showPhrase(cmd.Context(), id.Name)
		},
	}
}

func newIdentityRename(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "rename NAME NEW-NAME",
		Short: "Rename an identity and its directory on this device",
		Args:  argsBetween(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := asText(args[1]); err != nil {
				return err
			}
			id, err := question(cmd.Context(), a, control.IdentityName, control.IdentityRenameRequest{Name: args[0], To: args[1]})
			if err != nil {
				return err
			}
			if a.json {
				return a.object(id)
			}
			a.printf("%s is now %s\n", control.Name(args[0]), control.Name(id.Name))
			return nil
		},
	}
}

func newIdentityList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List this device's identities",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ids, err := a.identities(cmd.Context())
			if err != nil {
				return err
			}
			return list(&a.output, ids, func(id control.Identity) string {
				phrase := "its phrase is on this device"
				if !id.HasPhrase {
					phrase = "its phrase is not on this device"
				}
				return control.Name(id.Name).String() + "\t" + id.ID + "\t" + phrase
			})
		},
	}
}

// asText refuses a name that would arrive as another one: JSON has no bytes that are not UTF-8.
func asText(name string) error {
	if utf8.ValidString(name) {
		return nil
	}
	return control.Fail(control.Usage, fmt.Errorf("not a name for an identity: %q is not UTF-8", name), "choose another name")
}

// identities asks the daemon, or without one reads the store.
func (a *app) identities(ctx context.Context) ([]control.Identity, error) {
	ids, err := question(ctx, a, control.IdentityList, struct{}{})
	if control.CodeOf(err) != control.NoDaemon {
		return ids, err
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	return daemon.Identities(home)
}
