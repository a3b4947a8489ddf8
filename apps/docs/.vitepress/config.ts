import { defineConfig } from 'vitepress'
import { sidebar } from './sidebar.ts'

const REPOSITORY = 'https://github.com/retrap/retrap'

export default defineConfig({
  title: 'retrap',
  description: 'A 64-bit PC in TypeScript, with a way back in time, for Node and for web pages.',
  lang: 'en',
  srcDir: 'pages',
  outDir: 'dist',
  cacheDir: 'node_modules/.cache/vitepress',
  cleanUrls: false,
  lastUpdated: false,
  head: [
    [
      'link',
      {
        rel: 'icon',
        href: "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='3' fill='%230b6b50'/%3E%3Cpath d='M4 5l3 3-3 3M8 11h4' stroke='white' stroke-width='1.6' fill='none'/%3E%3C/svg%3E",
      },
    ],
  ],
  themeConfig: {
    nav: [
      { text: 'Start', link: '/start' },
      { text: 'Tutorials', link: '/tutorials/' },
      { text: 'Guides', link: '/guides/' },
      { text: 'How it works', link: '/ideas/' },
      { text: 'Reference', link: '/reference/index.html', target: '_self' },
      { text: 'A machine', link: '/machine/index.html', target: '_self' },
    ],
    sidebar,
    outline: [2, 3],
    search: {
      provider: 'local',
      options: {
        // The first page says of everything a little.
        miniSearch: { searchOptions: { boostDocument: (id) => (/^\/(?:index\.html)?(?:#|$)/.test(id) ? 0.2 : 1) } },
      },
    },
    socialLinks: [{ icon: 'github', link: REPOSITORY }],
    editLink: { pattern: `${REPOSITORY}/edit/main/apps/docs/pages/:path`, text: 'Edit this page' },
  },
  markdown: { theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' } },
  vue: { template: { compilerOptions: { isCustomElement: (tag) => tag === 'retrap-machine' } } },
  vite: {
    plugins: [
      {
        // The Worker of @retrap/web is named as the built package has it.
        name: 'retrap:worker-source',
        enforce: 'pre',
        transform: (code, id) =>
          id.endsWith('/web/src/worker-link.ts') ? code.replace('machine-worker.js', 'machine-worker.ts') : undefined,
      },
    ],
    // From sources, so that the pages need no build of the packages.
    resolve: { conditions: ['retrap-source'] },
    // A page loads these late: found then, they would have Vite's server load the page again.
    optimizeDeps: { include: ['@codemirror/commands', '@codemirror/state', '@codemirror/view'] },
    define: { 'process.env': '{}' },
    worker: { format: 'es' },
    // VitePress has an esbuild that does not know our target, and does not lower `using` unless it is told to.
    esbuild: {
      target: 'esnext',
      supported: { using: false },
      tsconfigRaw: '{ "compilerOptions": { "verbatimModuleSyntax": true } }',
    },
    build: { target: 'esnext', chunkSizeWarningLimit: 4000 },
  },
})
