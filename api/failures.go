package api

import (
	"net/http"

	"github.com/holdfastdb/holdfast/session"
)

// failure is how a code of the domain looks from outside.
type failure struct {
	status     int
	title      string
	help       string // for the page under /errors/: what it means and what to do
	retryAfter string // seconds
	challenge  string // WWW-Authenticate, which RFC 9110 asks of every 401
}

// codeNotLeader is what /leaderz says on a node that does not lead. It is no code of the domain, where writes find the
// leader by themselves.
const codeNotLeader session.Code = "not_leader"

// failures is the one table from domain errors to HTTP. Its codes are append-only, as the domain's are.
var failures = map[session.Code]failure{
	session.CodeInvalidRequest: {
		status: http.StatusBadRequest, title: "The request is not valid",
		help: "The detail says what is wrong. The same request will fail again: correct it first.",
	},
	session.CodeSessionInvalid: {
		status: http.StatusUnauthorized, title: "No valid session", challenge: "Session",
		help: "The session token is missing, unknown, wrong, expired or revoked; the answer does not say which. Log in again.",
	},
	session.CodeLoginInvalid: {
		status: http.StatusUnauthorized, title: "The login is not valid", challenge: `Bearer error="invalid_token"`,
		help: "The login JWT is missing or was refused; the detail says why. Get a new one from the login issuer. After a log out everywhere, every JWT from before is refused.",
	},
	session.CodeKeyInvalid: {
		status: http.StatusUnauthorized, title: "The key is not valid", challenge: "Bearer",
		help: "This call needs a service key (hfk_…) or an operator key (hfo_…) that is in the keys file of the node. A key that was added a moment ago works after a reload (SIGHUP) of every node.",
	},
	session.CodeForbidden: {
		status: http.StatusForbidden, title: "Not allowed",
		help: "The credential is valid, but not for this. The detail says which one is needed.",
	},
	session.CodeProtectedKey: {
		status: http.StatusForbidden, title: "A protected key",
		help: "The operator protects this key of the session's data: only a service key may set, change or remove it.",
	},
	session.CodeCrossOrigin: {
		status: http.StatusForbidden, title: "A cross-origin write",
		help: "A browser sent this write with a cookie from another origin. Send it from the same origin, or name the origin in the server's trusted origins.",
	},
	session.CodeNotFound: {
		status: http.StatusNotFound, title: "Not found",
		help: "There is nothing at this address, or it is not yours to see.",
	},
	session.CodeMethodNotAllowed: {
		status: http.StatusMethodNotAllowed, title: "The method is not allowed",
		help: "The header Allow lists the methods of this address.",
	},
	session.CodeSessionLimit: {
		status: http.StatusConflict, title: "Too many sessions",
		help: "The user has as many live sessions as the operator allows. End one first.",
	},
	session.CodeIdempotencyConflict: {
		status: http.StatusConflict, title: "The idempotency key was used",
		help: "The Idempotency-Key was used for another body, or its outcome can no longer be repeated. Use a new key for a new write.",
	},
	session.CodeVersionConflict: {
		status: http.StatusPreconditionFailed, title: "The version is another",
		help: "The session's data has changed since the version in If-Match. Read it again, apply your change, and send the new ETag.",
	},
	session.CodePayloadTooLarge: {
		status: http.StatusRequestEntityTooLarge, title: "Too large",
		help: "A body may have 128 KiB, the data of a session 64 KiB after a patch is applied.",
	},
	session.CodeUnsupportedMediaType: {
		status: http.StatusUnsupportedMediaType, title: "The media type is not supported",
		help: "Send the body as application/json in UTF-8; a merge patch may also be application/merge-patch+json.",
	},
	session.CodeMisdirectedRequest: {
		status: http.StatusMisdirectedRequest, title: "Misdirected",
		help: "The request names another host than this one. Send the path alone, or the host of this node.",
	},
	session.CodeRateLimited: {
		status: http.StatusTooManyRequests, title: "Too many requests", retryAfter: "1",
		help: "Wait as long as Retry-After says. Backends should use a service key, which is not limited by address.",
	},
	codeNotLeader: {
		status: http.StatusTooManyRequests, title: "Not the leader", retryAfter: "1",
		help: "Only /leaderz answers this, for load balancers that look for the leader. Every node takes every other request.",
	},
	session.CodeHeadersTooLarge: {
		status: http.StatusRequestHeaderFieldsTooLarge, title: "The headers are too large",
		help: "The head of a request may have 16 KiB. Large cookies are the usual cause.",
	},
	session.CodeNoLeader: {
		status: http.StatusServiceUnavailable, title: "No leader", retryAfter: "1",
		help: "The cluster had no leader within the request's deadline, and the write was not made. Try again.",
	},
	session.CodeStaleNode: {
		status: http.StatusServiceUnavailable, title: "This node is not fresh", retryAfter: "1",
		help: "The node cannot prove that what it knows is recent enough, and never guesses. Try again, or another node.",
	},
	session.CodeDraining: {
		status: http.StatusServiceUnavailable, title: "This node is stopping", retryAfter: "1",
		help: "The node is being stopped. Use another node.",
	},
	session.CodeOverloaded: {
		status: http.StatusServiceUnavailable, title: "Overloaded", retryAfter: "1",
		help: "The node has more to do than it can, or it did not finish in time. Try again a little later.",
	},
	session.CodeOutcomeUnknown: {
		status: http.StatusServiceUnavailable, title: "The outcome is not known", retryAfter: "1",
		help: "The write may or may not have been made. Try again with the same Idempotency-Key, which makes it once.",
	},
	session.CodeDiskLow: {
		status: http.StatusInsufficientStorage, title: "Little disk is left", retryAfter: "30",
		help: "The cluster refuses to grow until there is room on its disks. Reads and logouts go on working.",
	},
	session.CodeQuorumAtRisk: {
		status: http.StatusConflict, title: "The quorum would be lost",
		help: "After the change fewer voters would be healthy than the cluster needs to write. Heal or add a node first; ?force=true does it all the same.",
	},
	session.CodeChangeRefused: {
		status: http.StatusConflict, title: "The change is refused",
		help: "The cluster cannot be changed like that as it is now; the detail says why, and nothing was changed.",
	},
	session.CodeInternal: {
		status: http.StatusInternalServerError, title: "Internal error",
		help: "Something went wrong in the node. Its log has the details under the request's id.",
	},
}

// sessionInvalidDetail is the detail of every session_invalid: all of them look the same, byte for byte.
const sessionInvalidDetail = "There is no valid session for this request."
