// Runs a few instructions on a bare processor: RAM, no devices. 16-bit code, entered by a start-up IPI at 0x7000.
import { MachineMemory } from '@retrap/memory'
import { FlatHost, saveVcpu, Vcpu, X86Engine } from '@retrap/x86-cpu'

const memory = MachineMemory.create({ bytes: 8 << 20 })
const engine = new X86Engine(memory, { codeCacheBytes: 1 << 20 })
const host = new FlatHost(memory, 1 << 20)
const vcpu = new Vcpu(engine, host, { tscHz: 1e9, crystalHz: 1e9 })
host.attach(vcpu)

// mov cx, 20; mov ax, 1; mov bx, 0; next: xadd ax, bx; loop next; hlt
const code = [0xb9, 20, 0, 0xb8, 1, 0, 0xbb, 0, 0, 0x0f, 0xc1, 0xd8, 0xe2, 0xfb, 0xf4]
host.load(0x7000, Uint8Array.from(code))
vcpu.reset(false)
vcpu.startup(0x7000 >> 12)

const exit = vcpu.run(1000)
const { registers } = saveVcpu(vcpu)
console.log(exit.reason, vcpu.retired, Number(registers['rax']), registers['rip'])

// Output:
// hlt 44 10946 0xf
