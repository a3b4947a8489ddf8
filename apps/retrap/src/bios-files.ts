import { join } from 'node:path'
import { DebianError, fetchMembers } from '@retrap/debian'
import { CliError } from './cli-error.ts'
import { showFetchProgress } from './fetch-progress.ts'
import { readBytes } from './files.ts'

const FOLDER = 'usr/share/seabios'

/** Files of Debian's package `seabios`. */
export type BiosFile = 'bios-256k.bin' | 'vgabios-stdvga.bin'

const INSTEAD: Readonly<Record<BiosFile, string>> = {
  'bios-256k.bin': 'give a firmware image of your own: --firmware FILE',
  'vgabios-stdvga.bin': 'do without the graphics card: --vga none',
}

/** Debian's SeaBIOS, and its BIOS for the graphics card, from the cache or fetched. @throws CliError `ERR_FETCH` */
export async function fetchBiosFile(name: BiosFile): Promise<Uint8Array> {
  const shown = showFetchProgress()
  try {
    const [folder = ''] = await fetchMembers([{ package: 'seabios', members: [`./${FOLDER}/${name}`] }], shown)
    shown.stop('done')
    return await readBytes(join(folder, FOLDER, name))
  } catch (error) {
    shown.stop('failed')
    if (!(error instanceof DebianError)) throw error
    throw new CliError('ERR_FETCH', `${error.message}; ${INSTEAD[name]}`)
  }
}
