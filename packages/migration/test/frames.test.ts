/** Frames: what a side that lies, or says too much, gets. */
import { expect, test } from 'vitest'
import { FrameStream, type FrameType } from '../src/frames.ts'
import { MigrationError } from '../src/index.ts'
import { frame } from './support/frame.ts'

const MIB = 2 ** 20

/** Takes what one head says, and then the connection ends. @returns the error's code */
async function codeOf(type: string, length: number, magic?: string): Promise<string> {
  const pieces: (Uint8Array | null)[] = [frame(type, '', length, magic), null]
  const receive = async (): Promise<Uint8Array | null> => pieces.shift() ?? null
  const stream = new FrameStream({ receive, send: async () => {}, close: () => {} })
  const error: unknown = await stream.receive('HELO', 'TAKE', 'PAGE', 'STAT', 'REDY', 'HAND', 'RUNS').then(
    () => 'taken',
    (thrown: unknown) => thrown,
  )
  return error instanceof MigrationError ? error.code : String(error)
}

/** Most bytes of each type: a description, pages of one frame, a state; a line of text of all others. */
const MOST: readonly (readonly [FrameType, number])[] = [
  ['HELO', 16 * MIB],
  ['PAGE', MIB],
  ['STAT', 2048 * MIB],
  ['TAKE', 65_536],
  ['REDY', 65_536],
  ['HAND', 65_536],
  ['RUNS', 65_536],
  ['NOTE', 65_536],
]

test.each(MOST)('a frame %s of %d bytes is waited for, and one of a byte more refused', async (type, most) => {
  expect(await codeOf(type, most)).toBe('ERR_CUT')
  expect(await codeOf(type, most + 1)).toBe('ERR_PROTOCOL')
  expect(await codeOf(type, 0xffff_ffff)).toBe('ERR_PROTOCOL')
})

test.each([
  ['of another protocol', 'PAGE', 'HTTP'],
  ['of a type that there is not', 'MORE', 'RTM2'],
])('a frame %s is refused', async (_, type, magic) => {
  expect(await codeOf(type, 0, magic)).toBe('ERR_PROTOCOL')
})

test('a frame is sent in pieces of 1 MiB, and its bytes are counted', async () => {
  const sizes: number[] = []
  const send = async (bytes: Uint8Array): Promise<void> => void sizes.push(bytes.length)
  const stream = new FrameStream({ receive: async () => null, send, close: () => {} })
  await stream.send('TAKE')
  await stream.send('STAT', new Uint8Array(MIB), new Uint8Array(MIB))
  await stream.send('PAGE', new Uint8Array(MIB - 20))
  expect(sizes).toEqual([20, MIB, MIB, 20, MIB])
  expect(stream.sent).toBe(3 * MIB + 40)
})

test('a flipped bit anywhere in a frame is found, whatever its type', async () => {
  for (const type of ['PAGE', 'HAND', 'NOTE', 'RUNS']) {
    const whole = frame(type, 'payload')
    for (let bit = 0; bit < 8 * whole.length; bit++) {
      const bytes = Buffer.from(whole)
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      const pieces: (Uint8Array | null)[] = [bytes, null]
      const receive = async (): Promise<Uint8Array | null> => pieces.shift() ?? null
      const stream = new FrameStream({ receive, send: async () => {}, close: () => {} })
      await expect(stream.receive('PAGE', 'HAND', 'RUNS')).rejects.toMatchObject({ code: 'ERR_PROTOCOL' })
    }
  }
})

test('a peer of the version without checksums gets a sentence', async () => {
  const pieces = [Buffer.from('RTMGHELO\x02\0\0\0[]            ', 'latin1')]
  const receive = async (): Promise<Uint8Array | null> => pieces.shift() ?? null
  const stream = new FrameStream({ receive, send: async () => {}, close: () => {} })
  await expect(stream.receive('HELO')).rejects.toThrow('the other side is an older version')
})
