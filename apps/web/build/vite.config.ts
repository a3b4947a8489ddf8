import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { buildGuestImage } from '@retrap/embedded-guest'
import { NOTICES, noticesOf } from '@retrap/tooling/notices'
import { pageModules } from '@retrap/tooling/page-modules'
import { pluginsForMachines } from '@retrap/x86-decoder/build'
import { build, defaultClientConditions, defineConfig, type Plugin, transformWithOxc } from 'vite'

/** From sources what is not used is left out more often than from bundles. */
const conditions = ['retrap-source', ...defaultClientConditions]
/** Pages have none of Node's variables. */
const define = { 'process.env': '{}' }

const isWorkerEntry = (id: string): boolean => /[/\\]web[/\\]src[/\\]machine-worker\.ts$/.test(id)

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The machines are in Workers; the page decodes all that there is, for people. These come before vite's own resolution. */
const forMachines = () =>
  [...pluginsForMachines, pageModules()].map((plugin) => ({ ...plugin, enforce: 'pre' as const }))

/** All files that the page, its Workers and the playground are made of. */
const modules = new Set<string>()
const collect = (): Plugin => ({
  name: 'retrap:modules',
  moduleParsed({ id }) {
    modules.add(id)
  },
})

/** The program of the playground's Worker, which has no address of its own: one script. */
async function deviceProgram(): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: 'error',
    resolve: { conditions },
    define,
    plugins: [collect()],
    build: {
      write: false,
      target: 'es2024',
      lib: { entry: folder('../src/playground/device-program.ts'), name: 'retrapProgram', formats: ['iife'] },
    },
  })
  const [output] = Array.isArray(result) ? result : []
  if (output === undefined) throw new Error('vite gave no bundle')
  return output.output[0].code
}

/** The document that playground devices run in, with the hash of its script in its policy. */
function playgroundDocument(): { readonly html: string; readonly hash: string } {
  const html = readFileSync(folder('../src/playground/document.html'), 'utf8')
  const [, script = ''] = /<script>([^]*?)<\/script>/.exec(html) ?? []
  const hash = `sha256-${createHash('sha256').update(script).digest('base64')}`
  return { html: html.replace('SCRIPT', hash), hash }
}
const playground = playgroundDocument()
/** The documentation's site has the page in a folder. */
const documentation =
  process.env['RETRAP_DOCUMENTATION'] ?? 'https://github.com/retrap/retrap/tree/main/apps/docs/pages'

export default defineConfig({
  root: folder('../src'),
  // Any folder of any web server may hold the site.
  base: './',
  resolve: { conditions },
  worker: {
    format: 'es',
    plugins: () => [collect(), ...forMachines()],
    // What a Worker loads at its start is one file, whatever of it chunks use as well: it is compressed as one, too. The entry
    // is another file, which no chunk imports: WebKit would evaluate it once more for such an import.
    rolldownOptions: {
      // Constants stand where they are used, and minified code has no notes for bundlers.
      optimization: { inlineConst: { mode: 'all', pass: 2 } },
      output: {
        comments: { legal: true, annotation: false, jsdoc: false },
        codeSplitting: { groups: [{ name: 'machine', tags: ['$initial'], test: (id) => !isWorkerEntry(id) }] },
      },
    },
  },
  define: {
    ...define,
    DOCUMENTATION: JSON.stringify(documentation),
    PLAYGROUND_DOCUMENT: JSON.stringify(playground.html),
  },
  // Tests look at the site as it is served.
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact', development: false } },
  build: {
    outDir: folder('../dist'),
    emptyOutDir: true,
    target: 'es2024',
    modulePreload: false,
    // As text in a script a picture takes more, and cannot be compressed by itself.
    assetsInlineLimit: (path) => (path.endsWith('.svg') ? false : undefined),
    chunkSizeWarningLimit: 2000,
    rolldownOptions: {
      input: {
        index: folder('../src/index.html'),
        tools: folder('../src/tools.html'),
        about: folder('../src/about.html'),
      },
    },
  },
  plugins: [
    collect(),
    {
      name: 'retrap:guest',
      generateBundle() {
        this.emitFile({ type: 'asset', fileName: 'guest.bin', source: buildGuestImage() })
        // Lists of what was put beside the site: systems, firmware, and the packages that these are from.
        this.emitFile({ type: 'asset', fileName: 'systems/systems.json', source: '[]' })
        this.emitFile({ type: 'asset', fileName: 'firmware/firmware.json', source: 'null' })
        this.emitFile({ type: 'asset', fileName: 'debian/packages.json', source: '[]' })
      },
    },
    {
      name: 'retrap:playground',
      async generateBundle() {
        this.emitFile({ type: 'asset', fileName: 'device-program.js', source: await deviceProgram() })
      },
      // The document has the policy of the page that frames it as well.
      transformIndexHtml: (page) => page.replace('PLAYGROUND', playground.hash),
    },
    {
      name: 'retrap:notices',
      generateBundle() {
        this.emitFile({ type: 'asset', fileName: `${NOTICES}.txt`, source: noticesOf(modules) })
        this.emitFile({
          type: 'asset',
          fileName: 'LICENSE.txt',
          source: readFileSync(folder('../../../LICENSE'), 'utf8'),
        })
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
