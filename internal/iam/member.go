package iam

import (
	"strings"

	"github.com/posthaste-io/posthaste/internal/limit"
)

// memberForms are the forms of a member that name somebody, by what stands before the colon.
var memberForms = map[string]func(string) bool{
	"user":           validEmail,
	"group":          validEmail,
	"serviceAccount": func(s string) bool { return validEmail(s) || validWorkload(s) },
	"domain":         validWord,
	"projectOwner":   validWord,
	"projectEditor":  validWord,
	"projectViewer":  validWord,
	"principal":      validPrincipal,
	"principalSet":   validPrincipal,
	"deleted":        validDeleted,
}

// validMember holds a member against the forms of google.iam.v1.Binding.members.
func validMember(member string) bool {
	if len(member) > limit.PolicyMemberBytesMax {
		return false
	}
	if member == "allUsers" || member == "allAuthenticatedUsers" {
		return true
	}
	form, rest, _ := strings.Cut(member, ":")
	valid := memberForms[form]
	return valid != nil && valid(rest)
}

// validWord takes anything without spaces.
func validWord(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\r\n") }

func validEmail(s string) bool {
	user, domain, is := strings.Cut(s, "@")
	return is && user != "" && domain != "" && validWord(s) && !strings.ContainsAny(s, "/:[]?") && !strings.Contains(domain, "@")
}

// validWorkload takes {project}.svc.id.goog[{namespace}/{account}], an account of Kubernetes.
func validWorkload(s string) bool {
	pool, account, is := strings.Cut(s, ".svc.id.goog[")
	account, closed := strings.CutSuffix(account, "]")
	namespace, name, two := strings.Cut(account, "/")
	return is && closed && two && pool != "" && namespace != "" && name != "" && validWord(s)
}

// validPrincipal takes //iam.googleapis.com/... and the like.
func validPrincipal(s string) bool {
	host, is := strings.CutPrefix(s, "//")
	service, path, has := strings.Cut(host, "/")
	return is && has && service != "" && path != "" && validWord(s)
}

// validDeleted takes a deleted account with its number, as in user:a@example.com?uid=123, and a deleted principal.
func validDeleted(s string) bool {
	form, rest, _ := strings.Cut(s, ":")
	switch form {
	case "user", "group", "serviceAccount":
		email, uid, is := strings.Cut(rest, "?uid=")
		return is && validEmail(email) && validWord(uid)
	case "principal":
		return validPrincipal(rest)
	}
	return false
}
