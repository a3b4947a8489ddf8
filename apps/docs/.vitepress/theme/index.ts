import DefaultTheme from 'vitepress/theme'
import type { Theme } from 'vitepress'
import { defineAsyncComponent } from 'vue'
import Embed from './Embed.vue'
import Machine from './Machine.vue'
import Run from './Run.vue'
import Sequence from './Sequence.vue'
import './style.css'

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component('Embed', Embed)
    app.component(
      'Exercise',
      defineAsyncComponent(() => import('./Exercise.vue')),
    )
    app.component('Machine', Machine)
    app.component('Run', Run)
    app.component('Sequence', Sequence)
  },
} satisfies Theme
