// A guest asks Xen for its version, and its toolstack writes to the store.
import { defineDevice } from '@retrap/device'
import { DeterministicClock, X86Domain } from '@retrap/hvm'
import { MachineMemory } from '@retrap/memory'
import { Assembler, dx, eax, ebx } from '@retrap/x86-assembler'
import { plugXen } from '@retrap/xen'

const domain = new X86Domain({
  memory: MachineMemory.create({ bytes: 8 << 20 }),
  vcpus: 1,
  clock: new DeterministicClock(),
  random: () => 4,
  sleeper: { sleep: () => Promise.resolve(), wake: () => {} },
  codeCacheBytes: 1 << 20,
})
const xen = plugXen(domain, { name: 'tiny' })
xen.store.write('/local/domain/1/memory/target', 1024)
domain.attach(
  defineDevice({
    name: 'result',
    ports: { base: 0x300, size: 4 },
    write: (_offset, _size, value) => domain.stop({ reason: 'debug-exit', code: value }),
  }),
)

// Hypercall 17 is xen_version, whose command 0 returns major and minor number.
domain.p2m.populate(0xfffff, 1)
const asm = new Assembler({ bits: 16, address: 0xf000 })
const start = asm.here()
asm.mov(eax, 17).mov(ebx, 0).vmcall().mov(dx, 0x300).out(dx, eax).hlt()
asm.org(0xfff0).jmp(start)
domain.guestMemory.load(0xffff_f000, asm.assemble().bytes)
domain.reset()

const exit = await domain.run()
if (exit.reason === 'debug-exit')
  console.log(`Xen ${exit.code >> 16}.${exit.code & 0xffff}`, xen.store.read('/local/domain/1/name'))

// Output:
// Xen 4.17 tiny
