import { closeSync, openSync, writeSync } from 'node:fs'
import type { MachineSoundDevice } from '@retrap/machine'
import type { AudioBackend, AudioFormat } from '@retrap/device'
import { checkedProperties, placeOf } from './pci-devices.ts'
import type { OptionRow } from '../../options/option-table.ts'
import { type DeviceArgument, usage } from '../../options/values.ts'
import { attempt } from '@retrap/linux-guest/errors'

export interface SoundFlags {
  readonly audio?: string
  readonly device?: readonly DeviceArgument[]
}

/** Sound devices, and the file that records their output. */
export interface SoundSettings {
  readonly sound: readonly Omit<MachineSoundDevice, 'audio'>[]
  readonly audioFile?: string
}

/** The option that names where sound goes. */
export const SOUND_OPTION: OptionRow = {
  flags: '--audio <wav:file>',
  help: 'write what the PC speaker and --device AC97 play to a file',
  parse: parseAudio,
}

/** @throws CliError `ERR_USAGE` */
export function listSound({ audio, device = [] }: SoundFlags): SoundSettings {
  const sound = device
    .filter(({ name }) => name === 'AC97')
    .map((argument) => {
      checkedProperties(argument)
      return { model: 'ac97' as const, ...placeOf(argument) }
    })
  return { sound, ...(audio !== undefined && { audioFile: audio }) }
}

const HEADER_BYTES = 44
const SAMPLE_BYTES = 2
/** A WAV file says its length in 32 bits. */
const MOST_BYTES = 2 ** 32 - HEADER_BYTES - 1

/** Reads `--audio`. @throws CliError `ERR_USAGE` */
export function parseAudio(text: string): string {
  if (!text.startsWith('wav:') || text.length < 5) throw usage(`--audio ${text} is unknown; write wav:FILE`)
  return text.slice(4)
}

/**
 * A file of the guest's sound, from the first sound on and without pauses in between. It has the rate and channels of
 * that sound; later sound with others is converted.
 */
export class WavFile implements AudioBackend {
  readonly path: string
  readonly #file: number
  #format: AudioFormat | null = null
  #bytes = 0
  /** Position of the next frame, for a sound of another rate. */
  #phase = 0
  #failure: unknown

  /** @throws CliError `ERR_INPUT` for a file that cannot be written */
  constructor(path: string) {
    this.path = path
    this.#file = attempt(`--audio wav:${path}`, () => openSync(path, 'w'), 'write')
    attempt(`--audio wav:${path}`, () => writeSync(this.#file, header({ rate: 48_000, channels: 2 }, 0)), 'write')
  }

  play(samples: Int16Array, format: AudioFormat): void {
    if (this.#failure !== undefined) return
    // Drivers measure clocks with silence of another rate.
    if (this.#format === null && samples.every((sample) => sample === 0)) return
    this.#format ??= format
    const converted = this.#convert(samples, format, this.#format)
    const bytes = Buffer.alloc(SAMPLE_BYTES * converted.length)
    converted.forEach((sample, i) => bytes.writeInt16LE(sample, SAMPLE_BYTES * i))
    if (this.#bytes + bytes.length > MOST_BYTES) return
    try {
      writeSync(this.#file, bytes, 0, bytes.length, HEADER_BYTES + this.#bytes)
      this.#bytes += bytes.length
    } catch (error) {
      this.#failure = error
    }
  }

  #convert(samples: Int16Array, from: AudioFormat, to: AudioFormat): readonly number[] | Int16Array {
    if (from.rate === to.rate && from.channels === to.channels) return samples
    const frames = samples.length / from.channels
    const found: number[] = []
    for (; this.#phase < frames; this.#phase += from.rate / to.rate) {
      const at = Math.floor(this.#phase) * from.channels
      for (let channel = 0; channel < to.channels; channel++)
        found.push(samples[at + Math.min(channel, from.channels - 1)]!)
    }
    this.#phase -= frames
    return found
  }

  /** Completes the file. @throws the host's error if the file is incomplete */
  close(): void {
    const format = this.#format ?? { rate: 48_000, channels: 2 }
    try {
      writeSync(this.#file, header(format, this.#bytes), 0, HEADER_BYTES, 0)
    } finally {
      closeSync(this.#file)
    }
    if (this.#failure !== undefined) throw this.#failure
  }
}

/** Source: Microsoft and IBM, Multimedia Programming Interface and Data Specifications 1.0, "Waveform Audio File Format". */
function header({ rate, channels }: AudioFormat, bytes: number): Buffer {
  const head = Buffer.alloc(HEADER_BYTES)
  head.write('RIFF', 0)
  head.writeUInt32LE(HEADER_BYTES - 8 + bytes, 4)
  head.write('WAVEfmt ', 8)
  head.writeUInt32LE(16, 16)
  head.writeUInt16LE(1, 20)
  head.writeUInt16LE(channels, 22)
  head.writeUInt32LE(rate, 24)
  head.writeUInt32LE(rate * channels * SAMPLE_BYTES, 28)
  head.writeUInt16LE(channels * SAMPLE_BYTES, 32)
  head.writeUInt16LE(8 * SAMPLE_BYTES, 34)
  head.write('data', 36)
  head.writeUInt32LE(bytes, 40)
  return head
}
