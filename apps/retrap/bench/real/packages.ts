// Images of the bench real: packages of Debian 12 with all that they depend on, unpacked into the cache.
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { Apt, cacheDirectory, keep, unpackPackage, withScratchFolder } from '@retrap/debian'
import { IMAGES, type ImageName } from './programs.ts'

/** Files that no program of the bench reads: they would only make the guest's RAM larger. */
const UNUSED = [
  'usr/share/{bash-completion,bug,doc,doc-base,info,lintian,locale,man}',
  'usr/share/nodejs/**/*.map',
  'usr/lib/gcc/x86_64-linux-gnu/12/{lto1,lto-wrapper,lib*san*}',
  'usr/lib/x86_64-linux-gnu/{libc.a,lib*san.so*}',
  'usr/bin/*{lto-dump*,gprofng*,gp-*}',
]

/**
 * Returns the folder of each image; what is not in the cache is fetched, and checked by its hash otherwise.
 *
 * @throws DebianError `ERR_NO_APT`, `ERR_FETCH`, `ERR_CACHE`
 */
export async function fetchImages(images: readonly ImageName[]): Promise<ReadonlyMap<ImageName, string>> {
  const root = cacheDirectory()
  return withScratchFolder(root, async (scratch) => {
    let opened: Promise<Apt> | undefined
    // Without the security archive, whose packages change from day to day, and with them what is compared.
    const open = (): Promise<Apt> => (opened ??= Apt.open({ directory: join(scratch, 'apt'), withoutSecurity: true }))
    const folders = new Map<ImageName, string>()
    for (const image of images) {
      const make = async (files: string): Promise<object> => fill(await open(), image, files)
      folders.set(image, (await keep({ root, name: nameOf(image), make })).folder)
    }
    return folders
  })
}

function nameOf(image: ImageName): string {
  const digest = createHash('sha256')
    .update([...IMAGES[image], ...UNUSED].join())
    .digest('hex')
    .slice(0, 12)
  return join('debian-12', 'images', `${image}-${digest}`)
}

async function fill(apt: Apt, image: ImageName, files: string): Promise<object> {
  console.error(`fetching, once: ${IMAGES[image].join(', ')} and what they depend on`)
  const archives = await apt.downloadClosure(IMAGES[image])
  for (const archive of archives) await unpackPackage(archive, files)
  const unused = globSync(UNUSED, { cwd: files })
  await Promise.all(unused.map((path) => rm(join(files, path), { recursive: true, force: true })))
  if (image === 'python') await compilePython(files)
  return { archives: archives.map((path) => basename(path)) }
}

/**
 * Compiles Python's library to bytecode, as its package does when it is installed. Debian's Python runs on the host for
 * that, with its own loader and libraries.
 */
async function compilePython(files: string): Promise<void> {
  const [loader, program] = ['lib/x86_64-linux-gnu/ld-linux-x86-64.so.2', 'usr/bin/python3.*'].map(
    (path) => globSync(join(files, path))[0] ?? '',
  )
  const libraries = ['lib', 'usr/lib'].map((path) => join(files, path, 'x86_64-linux-gnu')).join(':')
  const [library = ''] = globSync(join(files, 'usr/lib/python3.*'))
  // prettier-ignore
  const args = ['--library-path', libraries, program ?? '', '-S', '-m', 'compileall', '-q', '-s', files, '-p', '/',
    '--invalidation-mode', 'unchecked-hash', '-x', 'test|lib2to3', library]
  await promisify(execFile)(loader ?? '', args, { env: { PYTHONHOME: join(files, 'usr') } })
}
