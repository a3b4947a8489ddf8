// Opens an image of a container as a file system for a guest. This one is made here, as an OCI layout with one layer.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openImageFile } from '@retrap/oci/node'

const folder = mkdtempSync(join(tmpdir(), 'image-'))
mkdirSync(join(folder, 'blobs/sha256'), { recursive: true })
writeFileSync(join(folder, 'motd'), 'hello')
const blob = (mediaType: string, bytes: Uint8Array) => {
  const hex = createHash('sha256').update(bytes).digest('hex')
  writeFileSync(join(folder, 'blobs/sha256', hex), bytes)
  return { mediaType: `application/vnd.oci.image.${mediaType}`, digest: `sha256:${hex}`, size: bytes.length }
}
const json = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const layer = blob('layer.v1.tar', execFileSync('tar', ['-c', '-C', folder, '--transform=s,^,etc/,', 'motd']))
const rootfs = { type: 'layers', diff_ids: [layer.digest] }
const config = blob(
  'config.v1+json',
  json({ os: 'linux', architecture: 'amd64', rootfs, config: { Cmd: ['/bin/sh'] } }),
)
const manifest = blob('manifest.v1+json', json({ schemaVersion: 2, config, layers: [layer] }))
writeFileSync(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [manifest] }))
writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')

const image = await openImageFile(folder, { architecture: 'amd64', cache: { folder: join(folder, 'cache') } })
const etc = await (await image.share.root()).child('etc')
console.log(image.config.command, await etc.list(), (await (await etc.child('motd')).stat()).size)
await image.close()
rmSync(folder, { recursive: true })

// Output:
// [ '/bin/sh' ] [ 'motd' ] 5
