// The page that tests drive: the package's surface, for expressions of theirs.
import {
  createMachine,
  defineMachineElement,
  deleteFetched,
  deleteKeptDisk,
  exportKeptDisk,
  fetchedBytes,
  importKeptDisk,
  keptDisks,
  prepareArmBoard,
  startMachineWorker,
} from '@retrap/web'
import { buildGuestImage } from '@retrap/embedded-guest'

defineMachineElement()
Object.assign(globalThis, {
  createMachine,
  deleteFetched,
  deleteKeptDisk,
  exportKeptDisk,
  fetchedBytes,
  importKeptDisk,
  keptDisks,
  prepareArmBoard,
  startMachineWorker,
  guestImage: buildGuestImage(),
})
