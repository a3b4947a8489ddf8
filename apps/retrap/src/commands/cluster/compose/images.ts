/** Finds the images of Compose files on this host. */
import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { cacheDirectory } from '@retrap/debian'
import { OciError } from '@retrap/oci'
import { imageNames } from '@retrap/oci/node'

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
