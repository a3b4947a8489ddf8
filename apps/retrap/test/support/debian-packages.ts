/** Packages as Debian has them, made of a few bytes. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { DistributedPackage } from '@retrap/debian'
import { sha256 } from './sha256.ts'

function write(path: string, content: string): string {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

/** Debian's texts of licences. */
export function licenceTexts(folder: string): DistributedPackage {
  for (const name of ['GPL-2', 'GPL-3', 'LGPL-2.1', 'LGPL-3'])
    write(join(folder, 'usr/share/common-licenses', name), `The text of ${name}`)
  return { folder, name: 'base-files', version: '12', architecture: 'amd64', copyrights: [], sources: [] }
}

/**
 * A package with a copyright file that names a licence, and with its sources.
 *
 * @param members - by their paths in the package
 */
export function debianPackage(
  folder: string,
  name: string,
  licence: string,
  members: Readonly<Record<string, string>>,
): DistributedPackage {
  for (const [path, content] of Object.entries(members)) write(join(folder, path), content)
  const text = `Some author.\nThe licence is in /usr/share/common-licenses/${licence}.\n`
  const copyright = write(join(folder, `usr/share/doc/${name}/copyright`), text)
  const archive = `${name}_1.orig.tar.gz`
  const description = `Format: 3.0 (quilt)
Source: ${name}
Version: 1-2
Checksums-Sha1:
 00 4 ${archive}
Checksums-Sha256:
 ${sha256(`sources of ${name}`)} 10 ${archive}
Files:
 00 4 ${archive}
`
  const files = [
    write(join(folder, `${name}_1-2.dsc`), description),
    write(join(folder, archive), `sources of ${name}`),
  ]
  return {
    folder,
    name,
    version: '1-2',
    architecture: 'all',
    copyrights: [copyright],
    sources: [{ name, version: '1-2', files }],
  }
}
