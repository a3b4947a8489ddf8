/** Ctrl-C of gdb ends a search backwards through a recording, and the machine is where the search began. */
import { setImmediate as turn } from 'node:timers/promises'
import { framePacket, GdbSession, PacketReader } from '@retrap/gdb'
import { al, ecx, imm32 } from '@retrap/x86-assembler'
import { expect, test } from 'vitest'
import { type PcOptions, recordPc, replayPc } from '../src/index.ts'
import { multibootKernel } from './support/kernels.ts'

/** Executed by nothing. */
const ELSEWHERE = 'Z0,300000,1'
const INTERRUPT = Uint8Array.of(3)
const SIGINT = /^T02/

const kernel = multibootKernel((asm) => {
  asm.mov(ecx, imm32(10_000_000))
  const again = asm.here()
  asm.dec(ecx).jnz(again)
  asm.mov(al, 0xfe).out(0x64, al).hlt()
})
const options: PcOptions = { memoryBytes: 4 << 20, codeCacheBytes: 4 << 20, clock: 'deterministic', kernel }

test('0x03 while the machine runs backwards', { timeout: 120_000 }, async () => {
  const pieces: Uint8Array[] = []
  const given = { checkpointMs: Infinity }
  const recorder = await recordPc(options, (piece) => void pieces.push(piece.slice()), given)
  expect(await recorder.pc.run({ timeoutMs: 60_000 })).toMatchObject({ reason: 'reset' })
  await recorder.end()
  recorder.pc.close()
  const file = new Uint8Array(Buffer.concat(pieces))
  const source = { bytes: file.length, read: (at: number, bytes: number) => file.subarray(at, at + bytes) }
  const replay = await replayPc(options, source, { at: 'end', ...given })
  let reply = Promise.withResolvers<string>()
  const reader = new PacketReader({
    packet: (text) => reply.resolve(text),
    damaged: () => undefined,
    interrupt: () => undefined,
    again: () => undefined,
  })
  const session = new GdbSession(await replay.gdbTarget({ kill: () => undefined }), {
    write: (bytes) => reader.push(bytes),
    end: () => undefined,
  })
  const send = (packet: string): Promise<string> => {
    reply = Promise.withResolvers()
    session.receive(framePacket(packet))
    return reply.promise
  }
  expect(await send(ELSEWHERE)).toBe('OK')
  const stopped = send('bc')
  // It is under way: in the machine at power-on, which runs to where it began.
  // oxlint-disable-next-line no-await-in-loop -- until then
  while (replay.instructions === replay.end || replay.instructions === 0) await turn()
  session.receive(INTERRUPT)
  expect(await stopped).toMatch(SIGINT)
  expect(replay.instructions).toBe(replay.end)
  // Without it the search ends at power-on.
  expect(await send('bc')).toMatch(/^T05.*replaylog:begin/)
  expect(replay.instructions).toBe(0)
  replay.close()
})
