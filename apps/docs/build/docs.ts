// npm run docs: builds the site and serves it. `-- build` builds it alone, `-- write` serves the pages while they are
// written, without the reference and the machine page.
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { build, createServer, serve } from 'vitepress'
import { writeDocuments } from './documents.ts'
import { writeReference } from './reference.ts'

const root = dirname(import.meta.dirname)
const web = join(root, '../web')
/** What the site serves as it is. */
const assets = join(root, 'pages/public')
const port = 8066

const USAGE = `npm run docs                builds the site, and serves it at http://localhost:${port}
npm run -s docs -- build    builds the site into apps/docs/dist; a dead link is an error
npm run -s docs -- write    serves the pages at http://localhost:${port} while they are written`

/** Builds the machine page (apps/web), which tutorials show in a frame, and puts it beside the pages. */
function addMachinePage(): void {
  const vite = join(web, 'node_modules/vite/bin/vite.js')
  const args = ['--conditions=retrap-source', vite, 'build', '--config', 'build/vite.config.ts', '--logLevel', 'error']
  const { status } = spawnSync(process.execPath, args, {
    cwd: web,
    stdio: 'inherit',
    env: { ...process.env, RETRAP_DOCUMENTATION: '../index.html' },
  })
  if (status !== 0) throw new Error('the machine page could not be built')
  rmSync(join(assets, 'machine'), { recursive: true, force: true })
  cpSync(join(web, 'dist'), join(assets, 'machine'), { recursive: true })
}

async function buildSite(): Promise<void> {
  addMachinePage()
  await writeReference(join(assets, 'reference'))
  await build(root)
  writeDocuments(join(root, 'dist'))
}

async function main(command: string | undefined): Promise<number> {
  switch (command) {
    case undefined:
      await buildSite()
      await serve({ root, port })
      return 0
    case 'build':
      await buildSite()
      return 0
    case 'write': {
      for (const name of ['reference', 'machine'])
        if (!existsSync(join(assets, name))) console.log(`links to /${name}/ lead nowhere before the first full build`)
      const server = await createServer(root, { port })
      await server.listen()
      server.printUrls()
      return 0
    }
    default:
      console.error(USAGE)
      return command === '--help' ? 0 : 2
  }
}

process.exitCode = await main(process.argv[2])
