/** Reads the description of a cluster: a `cluster.json`, or Compose files. */
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type ClusterDescription, type PlacedMachine, readCluster } from '@retrap/cluster'
import { ComposeError } from '@retrap/compose'
import { readComposeFiles } from '@retrap/compose/node'
import { cacheDirectory } from '@retrap/debian'
import { attempt, CliError } from '@retrap/linux-guest/errors'
import { pulled } from '@retrap/linux-guest/jobs/root'
import { OciError } from '@retrap/oci'
import { imageNames, type PullPolicy } from '@retrap/oci/node'
import { shownPull } from '../../../host/files/shown-pull.ts'
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

const run = promisify(execFile)
/** Programs with a store of images, in the order in which they are asked. */
const STORES = ['docker', 'podman'] as const
const SAVE_MS = 600_000

/** An image as docker completes it: without the usual registry, and with a tag. */
const complete = (name: string): string => {
  const plain = name.replace(/^(?:docker\.io\/)?(?:library\/)?/, '')
  return /[:@][^/]*$/.test(plain) ? plain : `${plain}:latest`
}

/** The images that are found by their tags. */
export class LocalImages {
  readonly #folder: string | undefined
  readonly #tell: (text: string) => void
  /** Paths as `--image` of exec takes them, by completed names. */
  #known: Map<string, string> | undefined

  /** @param folder - of OCI layouts and archives of `docker save`; undefined: there is none */
  constructor(folder: string | undefined, tell: (text: string) => void) {
    this.#folder = folder && resolve(folder)
    this.#tell = tell
  }

  /**
   * Returns the path of an image, as `--image` of exec takes it; undefined if it is nowhere.
   *
   * @param inStores - whether stores of other programs are asked, too
   * @throws errors of the folder
   */
  async find(name: string, inStores = true): Promise<string | undefined> {
    this.#known ??= await imagesIn(this.#folder)
    const wanted = complete(name)
    const known = this.#known.get(wanted) ?? [...this.#known].find(([one]) => one.endsWith(`/${wanted}`))?.[1]
    return known ?? (inStores ? this.#saved(wanted) : undefined)
  }

  /** Takes an image out of a store. An image has one archive for each of its contents. */
  async #saved(name: string): Promise<string | undefined> {
    for (const store of STORES) {
      const id = await outputOf(store, ['image', 'inspect', '--format', '{{.Id}}', name])
      if (id === undefined) continue
      const folder = join(cacheDirectory(), 'saved-images')
      const path = join(folder, `${id.replace(/^sha256:/, '').replaceAll(/[^0-9a-f]/g, '')}.tar`)
      if (statSync(path, { throwIfNoEntry: false }) === undefined) {
        this.#tell(`${store} saves the image ${name}`)
        mkdirSync(folder, { recursive: true })
        const part = `${path}.${process.pid}`
        if ((await outputOf(store, ['save', '-o', part, name])) === undefined) continue
        renameSync(part, path)
      }
      return path
    }
    return undefined
  }
}

/** Runs a program. @returns the first line of its output; undefined for a program that fails, or does not exist */
async function outputOf(program: string, words: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, words, { timeout: SAVE_MS })
    return stdout.split('\n')[0]
  } catch {
    return undefined
  }
}

/**
 * Lists the images in a folder: each OCI layout and archive in it, or itself. A layout of one tag, which skopeo and umoci write, has the
 * name of its folder.
 */
async function imagesIn(folder: string | undefined): Promise<Map<string, string>> {
  const known = new Map<string, string>()
  if (folder === undefined) return known
  const entries = readdirSync(folder).toSorted()
  const paths = entries.includes('index.json') ? [folder] : entries.map((name) => join(folder, name))
  for (const path of paths) {
    const names = await namesOf(path)
    const own = basename(path).replace(/\.tar$/, '')
    for (const name of names ?? []) {
      const isTag = !/[:/]/.test(name)
      const image = names?.length === 1 ? path : `${path}:${name}`
      known.set(isTag ? `${own}:${name}` : complete(name), image)
      if (isTag) known.set(`${name}:latest`, known.get(`${name}:latest`) ?? image)
    }
    if (names?.length === 0) known.set(`${own}:latest`, path)
  }
  return known
}

/** The names in a file or folder; undefined: it is no image. */
async function namesOf(path: string): Promise<readonly string[] | undefined> {
  try {
    return await imageNames(path)
  } catch (error) {
    if (error instanceof OciError) return undefined
    throw error
  }
}
