/** Reads the description of a cluster: a `cluster.json`, or Compose files. */
import { shownPull } from '../../../host/files/shown-pull.ts'
import { readFileSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type ClusterDescription, type PlacedMachine, readCluster } from '@retrap/cluster'
import { ComposeError } from '@retrap/compose'
import { readComposeFiles } from '@retrap/compose/node'
import type { PullPolicy } from '@retrap/oci/node'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import { pulled } from '@retrap/linux-guest/jobs/root'
import { LocalImages } from './images.ts'
import { composeCluster, type ComposedCluster } from './compose-cluster.ts'

/** Options that are for Compose files. */
export interface ComposeFlags {
  /** Further files, which are merged over the first file. */
  readonly file?: readonly string[]
  /** A folder of images. */
  readonly images?: string
  readonly profile?: readonly string[]
  readonly envFile?: readonly string[]
  readonly only?: readonly string[]
  readonly strict?: boolean
  readonly faults?: 'none'
  /** When registries are asked. */
  readonly pull?: PullPolicy
}

const words = (option: string, values: string | readonly string[] = []): readonly string[] =>
  [values].flat().flatMap((one) => [option, one])
/** The options as words of a command line. */
export const composeWords = (flags: ComposeFlags): readonly string[] => [
  ...words('-f', flags.file),
  ...words('--images', flags.images),
  ...words('--profile', flags.profile),
  ...words('--env-file', flags.envFile),
  ...words('--only', flags.only?.join(',')),
  ...words('--faults', flags.faults),
  ...words('--pull', flags.pull),
]

/** Whether a path is that of a Compose file, or of the folder of one. */
export const isCompose = (path: string): boolean =>
  /\.ya?ml$/i.test(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true

/** Reads Compose files. @param signal - ends pulls @throws CliError `ERR_INPUT` */
export async function readComposition(
  path: string,
  { file: more = [], images, profile = [], envFile, only, strict = false, faults, pull }: ComposeFlags,
  tell: (text: string) => void,
  signal?: AbortSignal,
): Promise<ComposedCluster> {
  try {
    const project = await readComposeFiles([path, ...more], {
      ...(profile.length > 0 && { profiles: profile }),
      ...(envFile !== undefined && { envFiles: envFile }),
      ...(only !== undefined && { only }),
      strict,
    })
    for (const { text } of project.notices) tell(text)
    const found = new LocalImages(images, tell)
    return await composeCluster({
      project,
      async findImage(name, { build, platform, pullPolicy }) {
        const policy = pull ?? (pullPolicy === 'always' || pullPolicy === 'never' ? pullPolicy : 'missing')
        const local = await found.find(name, policy !== 'always' || build !== undefined)
        if (local !== undefined || build !== undefined) return local
        const arch = platform?.includes('arm64') === true ? 'arm64' : 'amd64'
        const kept = await pulled(name, arch, { policy, signal, shown: shownPull }).catch((error: unknown) => {
          if (policy !== 'never') throw error
        })
        return kept?.path
      },
      isQuiet: faults === 'none',
    })
  } catch (error) {
    throw error instanceof ComposeError ? new CliError('ERR_INPUT', error.message) : error
  }
}

/** Reads a description. @throws CliError `ERR_INPUT`; ClusterError for a cluster that cannot be */
export async function readClusterFile(
  path: string,
  flags: ComposeFlags,
  tell: (text: string) => void,
  signal: AbortSignal,
): Promise<ClusterDescription> {
  if (!isCompose(path)) {
    const description = attempt(path, () => readCluster(JSON.parse(readFileSync(path, 'utf8'))))
    const found = new Map<string, ReturnType<typeof pulled>>()
    const machines: PlacedMachine[] = []
    for (const machine of description.machines) {
      const { image, arch } = machine
      const key = `${arch} ${image}`
      const pulling = { policy: flags.pull, signal, shown: shownPull }
      if (image !== undefined && !found.has(key))
        found.set(key, pulled(image, arch === 'arm64' ? arch : 'amd64', pulling, dirname(path)))
      const kept = await found.get(key)
      machines.push(kept === undefined ? machine : { ...machine, image: kept.path })
    }
    return { ...description, machines }
  }
  const { input, lines } = await readComposition(path, flags, tell, signal)
  for (const { service, text } of lines) tell(`${service}: ${text}`)
  return readCluster(input)
}
