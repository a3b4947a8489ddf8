import type { Command } from 'commander'
import type { PcSoundDevice } from '@retrap/machine'
import { checkedProperties, placeOf } from './pci-devices.ts'
import type { DeviceArgument } from '../options/values.ts'
import { parseAudio } from './wav-file.ts'

/** What the options below give. */
export interface SoundFlags {
  readonly audio?: string
  readonly device?: readonly DeviceArgument[]
}

/** Sound devices, and the file that takes what they play. */
export interface SoundSettings {
  readonly sound: readonly Omit<PcSoundDevice, 'audio'>[]
  readonly audioFile?: string
}

/** Adds the option that names where sound goes. */
export function soundOptions(command: Command): Command {
  return command.option('--audio <wav:file>', 'write what the PC speaker and --device AC97 play to a file', parseAudio)
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
