// A machine of one register and 16 bytes answers gdb's packets. A server hands bytes between a socket and the session.
import { framePacket, GdbSession, type GdbTarget, RegisterSet } from '@retrap/gdb'

const memory = new TextEncoder().encode('retrap debugged!')
let pc = 0x4n
const target: GdbTarget = {
  registers: new RegisterSet('i386', [{ name: 'org.example.core', registers: [{ name: 'pc', bits: 32 }] }], 'pc'),
  cpus: 1,
  isStopped: true,
  lastStop: { cpu: 0, signal: 5 },
  describeCpu: () => 'CPU 0',
  stop: () => {},
  resume: () => {},
  onStop: () => {},
  readRegister: () => pc,
  writeRegister: (_cpu, _name, value) => ((pc = value), true),
  readMemory: (_cpu, address, into) => {
    const bytes = memory.subarray(Number(address), Number(address) + into.length)
    into.set(bytes)
    return bytes.length
  },
  writeMemory: () => 0,
  readPhysical: () => 0,
  writePhysical: () => 0,
  addBreakpoint: () => true,
  removeBreakpoint: () => {},
  addWatchpoint: () => false,
  removeWatchpoint: () => {},
  monitor: (_cpu, command) => Promise.resolve(`no ${command}\n`),
  kill: () => {},
  detach: () => {},
}

const session = new GdbSession(target, {
  write: (bytes) => console.log(new TextDecoder().decode(bytes)),
  end: () => console.log('(the end)'),
})
for (const packet of ['g', 'm7,5', 'P0=00010000', 'p0', 'Z0,8,1', 'D']) {
  session.receive(framePacket(packet))
  await new Promise((resolve) => setTimeout(resolve))
}

// Output:
// +
// $04000000#84
// +
// $6465627567#16
// +
// $OK#9a
// +
// $00010000#81
// +
// $OK#9a
// +
// $OK#9a
// (the end)
