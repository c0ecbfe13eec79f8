package api

import (
	"net/http"
	"strings"

	"github.com/holdfastdb/holdfast/api/auth"
	"github.com/holdfastdb/holdfast/session"
)

// credential is the kind of authority that a request is made on.
type credential uint8

const (
	credentialNone    credential = iota
	credentialSession            // a session token, by cookie or Authorization
	credentialLogin              // a login JWT
	credentialKey                // a service or operator key, perhaps with Holdfast-Session beside it
)

// caller is who asks, as far as the request alone tells: keys and login JWTs are verified, a session token is parsed and
// no more. Whether its session lives is decided where the data is.
type caller struct {
	credential credential
	key        auth.Key
	login      auth.Login

	token  session.Token // of the session that is acted for
	sent   bool          // a session token was sent
	parsed bool          // … and token is it
}

func (w *caller) operator() bool {
	return w.credential == credentialKey && w.key.Role == auth.RoleOperator
}

// identify finds the request's credential. Authorization decides; the cookie counts where it brings none of ours (other
// schemes belong to proxies in front of us), and on a create beside a login JWT, as the session that ends. Whoever has
// no service key pays for a request before anything is verified: guesses and forged JWTs are limited as well.
func (c *call) identify() (caller, error) {
	c.client = session.Client{IP: c.s.proxies.client(c.r), UserAgent: userAgent(c.r.Header)}
	authorization, there, err := c.header(headerAuth)
	scheme, text, _ := strings.Cut(authorization, " ")
	text = strings.Trim(text, " ")
	bearer := there && strings.EqualFold(scheme, "Bearer")
	if err == nil && bearer {
		if key, ok := c.key(text); ok {
			who := caller{credential: credentialKey, key: key}
			return who, c.beside(&who)
		}
	}
	if limited := c.s.limits.check(c); limited != nil {
		return caller{}, limited
	}
	if err != nil {
		return caller{}, err
	}
	cookie, hasCookie, err := c.cookieNamed(c.s.cookies.token)
	if err != nil {
		return caller{}, err
	}
	var who caller
	switch {
	case bearer:
		who, err = c.bearer(text)
		if hasCookie && err == nil && c.route.endsSession {
			err = c.takeCookie(&who, cookie)
		}
	case there && strings.EqualFold(scheme, "Session"):
		who.credential = credentialSession
		who.take(text)
	case hasCookie:
		who.credential = credentialSession
		err = c.takeCookie(&who, cookie)
	}
	if refused := session.CodeOf(err); refused == session.CodeLoginInvalid || refused == session.CodeKeyInvalid || who.sent && !who.parsed {
		if limited := c.bad(&who); limited != nil {
			return caller{}, limited
		}
	}
	if err != nil {
		return caller{}, err
	}
	return who, c.noneBeside()
}

// key finds the service or operator key of this text.
func (c *call) key(text string) (auth.Key, bool) {
	if c.s.cfg.Keys == nil || !auth.IsKeyText(text) {
		return auth.Key{}, false
	}
	key, ok := c.s.cfg.Keys.Find(text)
	c.keyName, c.operator = key.Name, key.Role == auth.RoleOperator
	return key, ok
}

// noneBeside refuses what only a backend with a service key may say.
func (c *call) noneBeside() error {
	for _, name := range [...]string{headerSession, headerClientIP, headerClientUA} {
		if c.r.Header[name] != nil {
			return session.ErrInvalidRequest.With("the header %s is believed only beside a service key", name)
		}
	}
	return nil
}

func (w *caller) take(text string) {
	token, err := session.ParseToken(text)
	w.token, w.sent, w.parsed = token, true, err == nil
}

// bearer verifies a bearer credential that is no key of ours.
func (c *call) bearer(text string) (caller, error) {
	switch {
	case auth.IsKeyText(text):
		return caller{}, session.ErrKeyInvalid.With("The key is not one that this node knows.")
	case strings.HasPrefix(text, "hfs_"):
		return caller{}, session.ErrLoginInvalid.With("A session token is sent as `Authorization: Session hfs_…`, not as a bearer token.")
	case c.s.cfg.Logins == nil:
		return caller{}, session.ErrLoginInvalid.With("This cluster accepts no login JWTs: it was started without a JWT issuer.")
	}
	login, err := c.s.cfg.Logins.Verify(&c.ctx, text)
	return caller{credential: credentialLogin, login: login}, err
}

// takeCookie takes the token of the cookie, unless another site made a browser write with it.
func (c *call) takeCookie(who *caller, text string) error {
	if c.route.writes {
		if err := c.s.origins.Check(c.r); err != nil {
			return session.ErrCrossOrigin.With("This write came with a cookie from another origin.")
		}
	}
	who.take(text)
	return nil
}

// beside reads what a backend says of the user that it calls for. Without it the client is nobody: the backend's own
// address must not become the address of a session.
func (c *call) beside(who *caller) error {
	c.client = session.Client{}
	text, there, err := c.header(headerSession)
	if err != nil {
		return err
	}
	if there {
		who.take(text)
	}
	address, there, err := c.header(headerClientIP)
	if err != nil {
		return err
	}
	if there {
		if c.client.IP, err = parseClientIP(address); err != nil {
			return err
		}
	}
	agent, _, err := c.header(headerClientUA)
	c.client.UserAgent = clip(agent)
	return err
}

func userAgent(h http.Header) string {
	if values := h["User-Agent"]; len(values) > 0 {
		return clip(values[0])
	}
	return ""
}

// clip makes a user agent fit a session. Nearly all do, and looking at their bytes is far cheaper than at their runes.
func clip(text string) string {
	if len(text) <= session.MaxUserAgentBytes && (text == "" || printableASCII(text)) {
		return text
	}
	return session.Client{UserAgent: text}.Trimmed().UserAgent
}

// needSession is the token of the session that the request acts for.
func (w *caller) needSession() (session.Token, error) {
	switch {
	case w.credential == credentialLogin:
		return session.Token{}, session.ErrForbidden.With("A login JWT may create, list and invalidate sessions; this call needs a session token.")
	case !w.parsed:
		return session.Token{}, session.ErrSessionInvalid
	}
	return w.token, nil
}

// needKey demands a service key, or an operator key, which may do all that a service may.
func (w *caller) needKey() error {
	switch w.credential {
	case credentialKey:
		return nil
	case credentialNone:
		return session.ErrKeyInvalid.With("This call needs a service key: `Authorization: Bearer hfk_…`.")
	}
	return session.ErrForbidden.With("This call needs a service key.")
}

func (w *caller) needOperator() error {
	switch {
	case w.operator():
		return nil
	case w.credential == credentialNone:
		return session.ErrKeyInvalid.With("This call needs an operator key: `Authorization: Bearer hfo_…`.")
	}
	return session.ErrForbidden.With("This call needs an operator key.")
}

// actor is the caller as a command names it.
func (c *call) actor(who *caller) session.Actor {
	actor := session.Actor{Service: who.credential == credentialKey, Client: c.client, Doubt: c.doubt(who)}
	if who.parsed {
		proof := who.token.Proof()
		actor.Session = &proof
	}
	if who.credential == credentialLogin {
		login := commandLogin(who)
		actor.Login = &login
	}
	return actor
}

func commandLogin(who *caller) session.Login {
	return session.Login{UserID: who.login.UserID, IssuedAt: session.FromStd(who.login.IssuedAt)}
}
