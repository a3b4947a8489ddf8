import { type PcOptions, recordPc, replayPc } from '@retrap/machine'
import { Assembler, dword, dx, eax, ecx, imm16, imm32 } from '@retrap/x86-assembler'

// A guest with a bug: it counts in one place in memory, and somebody writes over the count.
const start = 0x10_0000
const COUNT = 0x20_0000
const asm = new Assembler({ bits: 32, address: start })
const entry = asm.label('entry')
asm.dd(0x1bad_b002, 0x1_0000, -(0x1bad_b002 + 0x1_0000), start, start, 0, 0, entry).bind(entry)
asm.mov(ecx, imm32(1000)).mov(dword(COUNT), 0)
const again = asm.here('again')
asm.inc(dword(COUNT)).dec(ecx).jnz(again)
asm.here('bug')
asm.mov(dword(COUNT), 7)
asm.mov(dx, imm16(0x604)).mov(eax, imm32(0x2000)).out(dx, eax).hlt()
const { bytes: kernel, symbols } = asm.assemble()
const nameOf = (address: bigint): string => [...symbols].find(([, at]) => at === address)?.[0] ?? address.toString(16)

// Record the run.
const options: PcOptions = { memoryBytes: 16 << 20, kernel, clock: 'deterministic' }
const pieces: Uint8Array<ArrayBuffer>[] = []
const recorder = await recordPc(options, (bytes) => void pieces.push(bytes.slice()))
console.log('recorded:', (await recorder.pc.run()).reason)
await recorder.end()
recorder.pc.close()

// Run it again to its end, and ask who wrote the count last.
const file = new Uint8Array(await new Blob(pieces).arrayBuffer())
const replay = await replayPc(options, {
  bytes: file.length,
  read: (offset, count) => file.subarray(offset, offset + count),
})
await replay.run()
const debug = await replay.debugger()
const writer = await debug.whoWrote(BigInt(COUNT), { physical: true })
if (writer.by === 'instruction') console.log(`written last by the instruction at '${nameOf(writer.address)}'`)

// Go back to the write before that, and look at the memory there.
debug.watch(BigInt(COUNT), 4, 'write')
const count = async (): Promise<number> => {
  const bytes = new Uint8Array(4)
  ;(await debug.pc.debugger()).read(BigInt(COUNT), bytes)
  return new DataView(bytes.buffer).getUint32(0, true)
}
for (let step = 0; step < 3; step++) {
  const stop = await debug.reverseContinue()
  console.log(stop.reason, 'after', debug.instructions, 'instructions: the count is', await count())
}
replay.close()

// Output:
// recorded: power-off
// written last by the instruction at 'bug'
// watch after 3002 instructions: the count is 1000
// watch after 2999 instructions: the count is 999
// watch after 2996 instructions: the count is 998
