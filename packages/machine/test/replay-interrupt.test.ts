/** Ctrl-C of gdb ends a search backwards through a recording, and the machine is where the search began. */
import { setImmediate as turn } from 'node:timers/promises'
import { defineDevice } from '@retrap/device'
import { framePacket, GdbSession, PacketReader } from '@retrap/gdb'
import { al, cl, ecx, imm32 } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

/** Executed by nothing. */
const ELSEWHERE = 'Z0,300000,1'
const PORT = 0xe4
const INTERRUPT = Uint8Array.of(3)
const SIGINT = /^T02/

const kernel = multibootKernel((asm) => {
  asm.mov(ecx, imm32(10_000_000)).in(al, PORT).mov(cl, al)
  const again = asm.here()
  asm.dec(ecx).jnz(again)
  asm.mov(al, 0xfe).out(0x64, al).hlt()
})
/** @param given - the answer of a device that says of itself that it is deterministic */
const counting = (given: number): PcOptions => ({
  memoryBytes: 4 << 20,
  codeCacheBytes: 4 << 20,
  clock: 'deterministic',
  kernel,
  devices: [
    defineDevice({
      name: 'number',
      deterministic: true,
      stateless: true,
      ports: { base: PORT, size: 1 },
      read: () => given,
    }),
  ],
})
const options = counting(1)
const given = { checkpointMs: Infinity }

/** A replay of a recorded run, at its end, and a client of gdb's. @param replayed - the machine that it is run in */
async function debugged(replayed: PcOptions) {
  const pieces: Uint8Array[] = []
  const recorder = await recordPc(options, (piece) => void pieces.push(piece.slice()), given)
  expect(await recorder.pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'reset' })
  await recorder.end()
  recorder.pc.close()
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = await replayPc(replayed, source, given)
  const troubles: string[] = []
  let printed = ''
  let reply = Promise.withResolvers<string>()
  const reader = new PacketReader({
    packet: (text) => {
      if (text[0] === 'O' && text !== 'OK') printed += Buffer.from(text.slice(1), 'hex').toString()
      else reply.resolve(text)
    },
    damaged: () => undefined,
    interrupt: () => undefined,
    again: () => undefined,
  })
  const target = await replay.gdbTarget({
    kill: () => undefined,
    onTrouble: (sentence) => void troubles.push(sentence),
  })
  const session = new GdbSession(target, { write: (bytes) => reader.push(bytes), end: () => undefined })
  const send = (packet: string): Promise<string> => {
    reply = Promise.withResolvers()
    printed = ''
    session.receive(framePacket(packet))
    return reply.promise
  }
  return { replay, session, send, troubles, printed: () => printed }
}

test('0x03 while the machine runs backwards', { timeout: 120_000 }, async () => {
  const { replay, session, send } = await debugged(options)
  await replay.goto(replay.end)
  expect(await send(ELSEWHERE)).toBe('OK')
  const stopped = send('bc')
  // It is under way: in the machine at power-on, which runs to where it began.
  while (replay.instructions === replay.end || replay.instructions === 0) await turn()
  session.receive(INTERRUPT)
  expect(await stopped).toMatch(SIGINT)
  expect(replay.instructions).toBe(replay.end)
  // Without it the search ends at power-on.
  expect(await send('bc')).toMatch(/^T05.*replaylog:begin/)
  expect(replay.instructions).toBe(0)
  replay.close()
})

test('a run that is another one than was recorded is told of in gdb, and to the program', async () => {
  const { replay, send, troubles, printed } = await debugged(counting(2))
  const sentence = /^the run is another one than was recorded, .* rax of vCPU 0 was 0x\w+, and is 0x\w+$/
  expect(await send('vCont;c')).toMatch(/^T06/)
  expect(printed()).toBe(`${troubles[0]}\n`)
  expect(troubles[0]).toMatch(sentence)
  expect(await send('qRcmd,' + Buffer.from(`goto ${replay.end}`).toString('hex'))).toBe('OK')
  expect(printed().split('\n')[0]).toMatch(sentence)
  expect(troubles).toEqual([troubles[0], troubles[0]])
  replay.close()
})
