/** Reads images of services: their tests of health, and test templates where Antithesis' Test Composer looks for them. */
import { statSync } from 'node:fs'
import type { MachineInput, PlacedMachine, TestCommand } from '@retrap/cluster'
import { filesOf, openFolder } from '@retrap/linux-guest/jobs/kept-machine'
import { isDirectory } from '@retrap/linux-guest/jobs/lookup'
import { isExecutable } from '@retrap/linux-guest/jobs/program'
import { type ExecConfig, openImageRoot } from '@retrap/linux-guest/jobs/root'

const FOLDER = '/opt/antithesis/test/v1'
/** The prefixes of commands. Other files, such as `helper_x`, are left alone. */
const PREFIX = /^(first|parallel_driver|serial_driver|singleton_driver|anytime|eventually|finally)_/

/** The parts of a machine that are mounts, or files in their place. */
export type Mounts = Pick<MachineInput, 'share' | 'disk' | 'tmpfs'> & Pick<PlacedMachine, 'files'>

/** The parts of an image that its service leaves to it. */
export interface FoundImage {
  readonly healthcheck: ExecConfig['healthcheck']
  /** The commands of test templates by the names of these, without machines. */
  readonly templates: Readonly<Record<string, readonly Omit<TestCommand, 'on'>[]>>
}

/**
 * Reads an image, and finds test templates in it, and in folders and files that are mounted in it.
 *
 * @param mounts - of the machine
 * @throws CliError `ERR_INPUT` for an image that cannot be read, or is of another platform
 */
export async function readImage(
  image: string,
  arch: string,
  { share = [], files: texts }: Mounts,
): Promise<FoundImage> {
  const root = await openImageRoot(image, arch)
  const mounts = share.flatMap((text) => {
    const [, source = '', path = ''] = /^(.*):(\/.*?)(?::copy)?$/.exec(text) ?? []
    const found = statSync(source)
    return found.isFile() || found.isDirectory() ? [{ at: path, ...openFolder(source) }] : []
  })
  try {
    const files = filesOf(root.share, mounts, texts)
    const found: Record<string, Omit<TestCommand, 'on'>[]> = {}
    for (const template of await files.list(FOLDER)) {
      const folder = await files.find(`${FOLDER}/${template}`)
      if (folder === undefined || !isDirectory(folder) || template.startsWith('helper_')) continue
      const commands: Omit<TestCommand, 'on'>[] = (found[template] = [])
      for (const name of await files.list(`${FOLDER}/${template}`)) {
        const path = `${FOLDER}/${template}/${name}`
        const kind = PREFIX.exec(name)?.[1] as TestCommand['kind'] | undefined
        const file = kind && (await files.find(path))
        if (kind !== undefined && file !== undefined && isExecutable(file)) commands.push({ kind, command: [path] })
      }
    }
    return { healthcheck: root.config.healthcheck, templates: found }
  } finally {
    await Promise.all([root, ...mounts.map((one) => one.local)].map((one) => one.close()))
  }
}
