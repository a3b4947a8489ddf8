/** Packages that are given to others, with the sources that they were built from: by an apt of the test's. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { beforeEach, expect, test, vi } from 'vitest'
import { type DistributedPackage, fetchDistributed, findDistributed } from '../src/index.ts'
import { fake, root } from './support/fake-programs.ts'
import { writeDeb } from './support/made-archive.ts'

beforeEach(async () => {
  await mkdir(join(root(), 'archive'))
  vi.stubEnv('RETRAP_DEBIAN_APT', '1')
  await fake('apt-cache', 'echo "Package: asked"; echo "Depends: linux-image-6 (= 1)"')
  // Sources are named as Debian's pool does; those of another version are not there.
  await fake(
    'apt-get',
    `archive=${join(root(), 'archive')}
case "$*" in
*--print-uris*) for last; do :; done; cat "$archive/$last.uris" 2>/dev/null || exit 100;;
*\\ source\\ *) for last; do :; done; for file in $(cut -d' ' -f2 "$archive/$last.uris"); do echo "$file" > "$file"; done;;
*\\ download\\ *) cp "$archive"/*.deb .;;
esac`,
  )
})

const calls = async (): Promise<number> => {
  const text = await readFile(join(root(), 'bin/apt-get.calls'), 'utf8').catch(() => '')
  return text.split('\n').length - 1
}

/** Puts a package into the archive. */
async function pack(name: string, control: string, files: readonly string[] = []): Promise<void> {
  const paths = [...files, `usr/share/doc/${name}/copyright`]
  await writeDeb(
    join(root(), 'archive', `${name}_1_arm64.deb`),
    `Package: ${name}\nArchitecture: arm64\n${control}`,
    Object.fromEntries(paths.map((path) => [path, `${path} of ${name}`])),
  )
}

/** Puts a source package into the archive. */
async function packSource(name: string, version: string): Promise<void> {
  const files = [`${name}_${version.replace(/^\d+:/, '')}.dsc`, `${name}_1.orig.tar.xz`]
  const lines = files.map((file) => `'http://m/pool/x/${file}' ${file} 10 SHA256:00\n`)
  await writeFile(join(root(), 'archive', `${name}=${version}.uris`), lines.join(''))
}

const BUSYBOX = { package: 'busybox-static:arm64', members: ['./bin/busybox'], linked: ['libc6'] }
const summary = ({ name, version, architecture, sources }: DistributedPackage): unknown => ({
  is: `${name} ${version} ${architecture}`,
  sources: sources.map((one) => `${one.name} ${one.version}: ${one.files.map((file) => basename(file)).join(' ')}`),
})
const fetchOne = async (withSources: boolean): Promise<DistributedPackage> => {
  const [one] = await fetchDistributed([BUSYBOX], { root: join(root(), 'cache'), withSources })
  return one!
}

test('a package has its copyright files, and the sources of exactly its version and of what is linked into it', async () => {
  await pack(
    'busybox-static',
    'Version: 1:1.35-4+b1\nSource: busybox (1:1.35-4)\nDescription: x\n Source: not this\nBuilt-Using: glibc (= 2.36-9), gcc-12 (= 12.2-14)\n',
    ['bin/busybox', 'bin/other'],
  )
  await pack('libc6', 'Version: 2.36-9\nSource: glibc\n', ['lib/libc.so.6'])
  await packSource('busybox', '1:1.35-4')
  await packSource('glibc', '2.36-9')
  await packSource('gcc-12', '12.2-14')
  const plain = await fetchOne(false)
  expect(summary(plain)).toEqual({
    is: 'busybox-static 1:1.35-4+b1 arm64',
    sources: ['busybox 1:1.35-4: ', 'glibc 2.36-9: ', 'gcc-12 12.2-14: '],
  })
  expect(await Promise.all(plain.copyrights.map((path) => readFile(path, 'utf8')))).toEqual([
    'usr/share/doc/busybox-static/copyright of busybox-static',
    'usr/share/doc/libc6/copyright of libc6',
  ])
  expect(await readFile(join(plain.folder, 'bin/busybox'), 'utf8')).toBe('bin/busybox of busybox-static')
  expect(await findDistributed([BUSYBOX], { root: join(root(), 'cache'), withSources: true })).toBeUndefined()

  const whole = await fetchOne(true)
  expect(summary(whole)).toMatchObject({
    sources: [
      'busybox 1:1.35-4: busybox_1.35-4.dsc busybox_1.orig.tar.xz',
      'glibc 2.36-9: glibc_1.orig.tar.xz glibc_2.36-9.dsc',
      'gcc-12 12.2-14: gcc-12_1.orig.tar.xz gcc-12_12.2-14.dsc',
    ],
  })
  expect(await readFile(whole.sources[0]!.files[0]!, 'utf8')).toBe('busybox_1.35-4.dsc\n')
  expect(await readFile(join(root(), 'bin/apt-get.calls'), 'utf8')).toContain(
    'source --only-source --download-only busybox=1:1.35-4',
  )
  // From now on apt is not asked.
  const before = await calls()
  expect(summary(await fetchOne(true))).toEqual(summary(whole))
  expect(summary(await fetchOne(false))).toEqual(summary(plain))
  expect(await calls()).toBe(before)
})

test('a package whose sources have left the archive is fetched again', async () => {
  await pack('busybox-static', 'Version: 1\nSource: busybox\n', ['bin/busybox'])
  await pack('libc6', 'Version: 2\n')
  await fetchOne(false)
  await pack('busybox-static', 'Version: 2\nSource: busybox\n', ['bin/busybox'])
  await packSource('busybox', '2')
  expect(summary(await fetchOne(true))).toEqual({
    is: 'busybox-static 2 arm64',
    sources: ['busybox 2: busybox_1.orig.tar.xz busybox_2.dsc'],
  })
})

test('sources that the archive does not have are an error', async () => {
  await pack('busybox-static', 'Version: 1\n', ['bin/busybox'])
  await pack('libc6', 'Version: 2\n')
  await expect(fetchOne(true)).rejects.toMatchObject({ code: 'ERR_FETCH' })
  // A list without a description of the package.
  await writeFile(join(root(), 'archive/busybox-static=1.uris'), "'http://m/x' x.tar.xz 1 SHA256:0\n")
  await expect(fetchOne(true)).rejects.toThrow('apt has no source package busybox-static of version 1')
})

test('a kernel is the package that its name stands for', async () => {
  await pack('linux-image-6-unsigned', 'Version: 6.1-1\nSource: linux\n', ['boot/vmlinuz-6'])
  await packSource('linux', '6.1-1')
  const kernel = { package: 'linux-image-arm64:arm64', members: ['./boot/*'], dependency: 'linux-image-' }
  const options = { root: join(root(), 'cache'), withSources: true }
  const [one] = await fetchDistributed([{ ...kernel, suffix: '-unsigned' }], options)
  expect(summary(one!)).toMatchObject({
    is: 'linux-image-6-unsigned 6.1-1 arm64',
    sources: [expect.stringMatching(/^linux 6\.1-1: \S+/)],
  })
  // The signed one, which is not there, is another.
  await expect(fetchDistributed([kernel], options)).rejects.toThrow('no linux-image-6 was downloaded')
})
