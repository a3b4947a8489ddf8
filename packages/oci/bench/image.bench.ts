// Opens an image of about 100 MB, and one of 100,000 files: for the first time, and again.
// npm run -s bench -- image
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openImageFile } from '@retrap/oci/node'
import { type ImageOptions, writeLayout } from '@retrap/tooling/container-images'
import { writeTar } from '@retrap/tooling/tar-writer'

const WORKLOADS: readonly { readonly what: string; readonly files: number; readonly bytes: number }[] = [
  { what: '100 MB in 5,000 files', files: 5000, bytes: 20_000 },
  { what: '100,000 files of 100 bytes', files: 100_000, bytes: 100 },
]
const folder = mkdtempSync(join(tmpdir(), 'retrap-oci-bench-'))
const noise = randomBytes(1 << 20)

async function open(path: string): Promise<string> {
  const begin = performance.now()
  const image = await openImageFile(path, { architecture: 'amd64', cache: { folder: join(path, 'cache') } })
  const milliseconds = performance.now() - begin
  await image.close()
  return `${Math.round(milliseconds)} ms`
}

for (const { what, files, bytes } of WORKLOADS) {
  const layer = writeTar(
    Array.from({ length: files }, (_, i) => ({
      name: `usr/share/package-${i >> 6}/doc/file-${i}.txt`,
      content: noise.subarray((i * 61) % 1_000_000, ((i * 61) % 1_000_000) + bytes),
    })),
  )
  for (const compression of ['tar+gzip', 'tar+zstd', 'tar'] satisfies ImageOptions['compression'][]) {
    const path = writeLayout(join(folder, `${files}-${compression}`), [layer], { compression })
    const times = [await open(path), await open(path), await open(path)]
    const memory = Math.round(process.memoryUsage().rss / 1e6)
    console.log(`| ${what}, ${compression} | ${times[0]} | ${times[2]} |`, memory, 'MB resident')
  }
}
rmSync(folder, { recursive: true })
