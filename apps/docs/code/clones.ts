import { createPc, type Pc } from '@retrap/machine'
import { al, Assembler, dx, imm16 } from '@retrap/x86-assembler'

// A kernel that sends each byte of the serial port back, one higher.
const start = 0x10_0000
const asm = new Assembler({ bits: 32, address: start })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
asm.mov(dx, imm16(0x3fb)).mov(al, 3).out(dx, al)
const wait = asm.here()
asm.pause().mov(dx, imm16(0x3fd)).in(al, dx).test(al, 1).jz(wait)
asm.mov(dx, imm16(0x3f8)).in(al, dx).inc(al).out(dx, al).jmp(wait)

const pc = await createPc({
  memoryBytes: 16 << 20,
  kernel: asm.assemble().bytes,
  clock: 'deterministic',
  forks: { clones: 2, writtenBytes: 1 << 20 }, // room for two clones that write 1 MiB each
})
await pc.run({ timeoutMs: 20 }) // "boot" it

/** Sends a byte, and runs the machine until one comes back. */
async function ask(machine: Pc, text: string): Promise<string> {
  const control = new AbortController()
  let answer = ''
  machine.serial.pipeTo({
    write(bytes) {
      answer += String.fromCharCode(...bytes)
      control.abort()
    },
  })
  machine.serial.receive(new TextEncoder().encode(text))
  await machine.run({ signal: control.signal })
  return answer
}

const clones = [await pc.fork(), await pc.fork()]
for (const [i, clone] of clones.entries()) console.log(`clone ${i} answers ${await ask(clone, 'ab'[i]!)}`)
console.log(`the machine itself answers ${await ask(pc, 'x')}`)
for (const machine of [...clones, pc]) machine.close()

// Output:
// clone 0 answers b
// clone 1 answers c
// the machine itself answers y
