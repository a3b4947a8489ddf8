import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { defaultClientConditions, defineConfig } from 'vite'

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
        // Whoever puts systems beside the site lists them there.
        this.emitFile({ type: 'asset', fileName: 'systems/systems.json', source: '[]' })
      },
    },
  ],
})
