package fsm

import _ "pgregory.net/rapid"
