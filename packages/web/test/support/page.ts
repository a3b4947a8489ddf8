// The page that tests drive: the package's surface, for expressions of theirs.
import { createMachine, defineMachineElement } from '@retrap/web'
import { buildGuestImage } from '@retrap/embedded-guest'

defineMachineElement()
Object.assign(globalThis, { createMachine, guestImage: buildGuestImage() })
