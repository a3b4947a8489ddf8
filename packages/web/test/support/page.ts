// The page that tests drive: the package's surface, for expressions of theirs.
import * as web from '@retrap/web'
import { buildGuestImage } from '@retrap/embedded-guest'

function listen(machine: web.Machine): (word: string) => Promise<string> {
  let text = ''
  let look = (): void => {}
  machine.on('serial', (bytes) => {
    text += new TextDecoder().decode(bytes)
    look()
  })
  return (word) =>
    new Promise((resolve) => {
      look = () => {
        if (!text.includes(word)) return
        const found = text
        text = ''
        resolve(found)
      }
      look()
    })
}

web.defineMachineElement()
Object.assign(globalThis, {
  createMachine: web.createMachine,
  deleteFetched: web.deleteFetched,
  deleteKeptDisk: web.deleteKeptDisk,
  exportKeptDisk: web.exportKeptDisk,
  fetchedBytes: web.fetchedBytes,
  importKeptDisk: web.importKeptDisk,
  keptDisks: web.keptDisks,
  listen,
  prepareArmBoard: web.prepareArmBoard,
  startMachineWorker: web.startMachineWorker,
  guestImage: buildGuestImage(),
})
