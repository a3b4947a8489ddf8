import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { defaultClientConditions, defineConfig, transformWithOxc } from 'vite'

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

export default defineConfig({
  root: folder('../src'),
  // Any folder of any web server may hold the site.
  base: './',
  // From sources what is not used is left out more often than from bundles.
  resolve: { conditions: ['retrap-source', ...defaultClientConditions] },
  worker: { format: 'es' },
  // Pages have none of Node's variables.
  define: { 'process.env': '{}' },
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: folder('../dist'),
    emptyOutDir: true,
    target: 'es2024',
    modulePreload: false,
    chunkSizeWarningLimit: 2000,
  },
  plugins: [
    {
      name: 'retrap:guest',
      generateBundle() {
        this.emitFile({ type: 'asset', fileName: 'guest.bin', source: buildGuestImage() })
        // The list of the systems that were put beside the site.
        this.emitFile({ type: 'asset', fileName: 'systems/systems.json', source: '[]' })
      },
    },
    {
      name: 'retrap:service-worker',
      generateBundle: {
        // It names all files of the build, so it is the last one.
        order: 'post',
        async handler(_, bundle) {
          const files = Object.values(bundle).map((file) => file.fileName)
          const hash = createHash('sha256')
          for (const file of Object.values(bundle)) hash.update(file.type === 'chunk' ? file.code : file.source)
          const site = JSON.stringify({ version: hash.digest('hex').slice(0, 16), files: files.toSorted() })
          const path = folder('../src/service-worker.ts')
          const { code } = await transformWithOxc(readFileSync(path, 'utf8').replace(/^export \{\}$/m, ''), path)
          this.emitFile({ type: 'asset', fileName: 'service-worker.js', source: `const SITE = ${site}\n${code}` })
        },
      },
    },
  ],
})
