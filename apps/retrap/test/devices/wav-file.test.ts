import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { listSound, parseAudio, WavFile } from '../../src/machine/devices/sound.ts'
import { parseDevice } from '../../src/options/values.ts'

const folder = temporaryFolder('wav')

test('a WAV file has the format of its first sound, and all samples', () => {
  const path = join(folder, 'a.wav')
  const file = new WavFile(path)
  file.play(Int16Array.of(0, 0), { rate: 48_000, channels: 2 })
  file.play(Int16Array.of(1, -2, 300, -400), { rate: 44_100, channels: 2 })
  file.play(Int16Array.of(5, 6), { rate: 44_100, channels: 2 })
  file.close()
  const bytes = readFileSync(path)
  expect(bytes.toString('latin1', 0, 16)).toBe('RIFF0\0\0\0WAVEfmt ')
  expect([bytes.readUInt16LE(20), bytes.readUInt16LE(22), bytes.readUInt32LE(24), bytes.readUInt32LE(28)]).toEqual([
    1, 2, 44_100, 176_400,
  ])
  expect([bytes.readUInt16LE(32), bytes.readUInt16LE(34), bytes.readUInt32LE(40)]).toEqual([4, 16, 12])
  expect([...new Int16Array(new Uint8Array(bytes.subarray(44)).buffer)]).toEqual([1, -2, 300, -400, 5, 6])
})

test('a sound of another format is converted', () => {
  const path = join(folder, 'b.wav')
  const file = new WavFile(path)
  file.play(Int16Array.of(9, 9), { rate: 48_000, channels: 2 })
  file.play(Int16Array.of(1, 2, 3), { rate: 24_000, channels: 1 })
  file.close()
  const samples = new Int16Array(new Uint8Array(readFileSync(path).subarray(44)).buffer)
  expect([...samples]).toEqual([9, 9, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
})

test('--audio names a file for sound devices', () => {
  expect(parseAudio('wav:x.wav')).toBe('x.wav')
  expect(() => parseAudio('alsa')).toThrow('--audio alsa is unknown; write wav:FILE')
  expect(listSound({ audio: 'x', device: [parseDevice('AC97,addr=7')] })).toEqual({
    sound: [{ model: 'ac97', slot: 7 }],
    audioFile: 'x',
  })
  // Every machine has a PC speaker.
  expect(listSound({ audio: 'x' })).toEqual({ sound: [], audioFile: 'x' })
  expect(() => listSound({ device: [parseDevice('AC97,codec=1')] })).toThrow("has no 'codec'")
  expect(() => new WavFile(join(folder, 'missing', 'c.wav'))).toThrow('--audio wav:')
})
