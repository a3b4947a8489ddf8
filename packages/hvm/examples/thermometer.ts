// A guest whose IN waits for a device model that takes its time.
import { setTimeout } from 'node:timers/promises'
import { DeterministicClock, X86Domain } from '@retrap/hvm'
import { defineDevice } from '@retrap/device'
import { MachineMemory } from '@retrap/memory'
import { Assembler, ax, dx } from '@retrap/x86-assembler'

const memory = MachineMemory.create({ bytes: 8 << 20 })
const domain = new X86Domain({
  memory,
  vcpus: 1,
  clock: new DeterministicClock(),
  random: () => 4,
  sleeper: { sleep: (ms) => setTimeout(Math.min(ms, 10)), wake: () => {} },
  codeCacheBytes: 1 << 20,
})
domain.attach(
  defineDevice({
    name: 'thermometer',
    ports: { base: 0x300, size: 2 },
    read: async () => setTimeout(5, 21), // ask the sensor
    write: (_offset, _size, value) => domain.stop({ reason: 'debug-exit', code: value }),
  }),
)

// A page of RAM below 4 GiB, where processors start: the reset vector jumps to its first byte.
domain.p2m.populate(0xfffff, 1)
const asm = new Assembler({ bits: 16, address: 0xf000 })
const start = asm.here()
asm.mov(dx, 0x300).in(ax, dx).add(ax, 273).out(dx, ax).hlt()
asm.org(0xfff0).jmp(start)
domain.guestMemory.load(0xffff_f000, asm.assemble().bytes)
domain.reset()

console.log(await domain.run(), domain.exits)

// Output:
// { reason: 'debug-exit', code: 294 } { budget: 1, blocked: 1 }
