// The page that tests drive: the package's surface, for expressions of theirs.
import * as web from '@retrap/web'
import { buildGuestImage } from '@retrap/embedded-guest'

web.defineMachineElement()
Object.assign(globalThis, {
  createMachine: web.createMachine,
  deleteFetched: web.deleteFetched,
  deleteKeptDisk: web.deleteKeptDisk,
  exportKeptDisk: web.exportKeptDisk,
  fetchedBytes: web.fetchedBytes,
  importKeptDisk: web.importKeptDisk,
  keptDisks: web.keptDisks,
  prepareArmBoard: web.prepareArmBoard,
  startMachineWorker: web.startMachineWorker,
  guestImage: buildGuestImage(),
})
