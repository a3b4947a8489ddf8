// Runs a Linux guest on the Arm machine, with its serial port on stdout, in a process of its own: its threads are all
// that count. Arguments: KERNEL INITRD MEBIBYTES COMMAND-LINE JIT, which is on or off.
import { readFileSync, writeSync } from 'node:fs'
import { createArmMachine } from '@retrap/machine/arm'

const [kernel = '', initrd = '', mebibytes = '', commandLine = '', jit = ''] = process.argv.slice(2)
const machine = await createArmMachine({
  memoryBytes: Number(mebibytes) << 20,
  kernel: readFileSync(kernel),
  initrd: readFileSync(initrd),
  commandLine,
  jit: jit === 'on',
})
machine.serial.onTransmit((bytes) => void writeSync(1, bytes))
const { reason } = await machine.run()
machine.close()
if (reason !== 'power-off') throw new Error(`the machine ended with '${reason}', expected 'power-off'`)
