// Runs a loop of A64 code, and serves its system call.
import { ArmCpu, ArmEngine, exceptionClassOf, FlatHost } from '@retrap/arm-cpu'
import { MachineMemory } from '@retrap/memory'

const program = Uint32Array.of(
  0xd2800000, // mov x0, #0
  0xd2800c81, // mov x1, #100
  0x8b010000, // add x0, x0, x1
  0xf1000421, // subs x1, x1, #1
  0x54ffffc1, // b.ne .-8
  0xd4000021, // svc #1
)

const memory = MachineMemory.create({ bytes: 32 << 20 })
const ram = new FlatHost(memory, 0x1000, 0x10000)
ram.load(0x1000, new Uint8Array(program.buffer))
const cpu = new ArmCpu(new ArmEngine(memory), ram)
cpu.registers.pc = 0x1000n

const exit = cpu.run(1_000_000)
if (exit.reason === 'exception' && exceptionClassOf(exit.syndrome) === 0x15) {
  console.log(`SVC #${exit.syndrome & 0xffff} at 0x${(cpu.registers.pc - 4n).toString(16)}`)
}
console.log(`x0 = ${cpu.registers.x(0)} after ${cpu.retired} instructions`)

// Output:
// SVC #1 at 0x1014
// x0 = 5050 after 303 instructions
