import { brotliCompressSync, constants } from 'node:zlib'
import { bundleStandalone } from './standalone.ts'
const files = await bundleStandalone()
const params = { [constants.BROTLI_PARAM_LGWIN]: 24 }
for (const [name, text] of files) if (/worker|index|extended/.test(name)) console.log(name, text.length, brotliCompressSync(text, { params }).length)
import { writeFileSync } from 'node:fs'
writeFileSync('/tmp/worker.js', files.get('machine-worker.js')!)
