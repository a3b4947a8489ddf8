// The page that tests drive: the package's surface, for expressions of theirs.
import {
  createMachine,
  defineMachineElement,
  deleteKeptDisk,
  exportKeptDisk,
  importKeptDisk,
  keptDisks,
} from '@retrap/web'
import { buildGuestImage } from '@retrap/embedded-guest'

defineMachineElement()
Object.assign(globalThis, {
  createMachine,
  deleteKeptDisk,
  exportKeptDisk,
  importKeptDisk,
  keptDisks,
  guestImage: buildGuestImage(),
})
