// Runs a Linux guest on v86, with its serial port on stdout, in a process of its own: its threads are all that count.
// Arguments: BIOS VGA-BIOS KERNEL INITRD MEBIBYTES COMMAND-LINE.
import { writeSync } from 'node:fs'
import { startLinux } from '../v86-linux.ts'

const emulator = startLinux(process.argv.slice(2))
const DONE = '\n@done'
let tail = ''
let pending: number[] = []
const flush = (): void => {
  writeSync(1, Uint8Array.from(pending))
  pending = []
}
emulator.add_listener('serial0-output-byte', (value: number) => {
  pending.push(value)
  tail = (tail + String.fromCharCode(value)).slice(-DONE.length)
  if (value === 10) flush()
  // It does not end by itself when the guest powers off.
  if (tail === DONE) {
    flush()
    process.exit(0)
  }
})
