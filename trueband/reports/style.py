"""The style sheet of the page: light, dark, phone and paper."""

STYLE = """
:root{--ink:#1b1f24;--soft:#59636e;--line:#d1d9e0;--back:#fff;--panel:#f6f8fa;--good:#116329;--bad:#b3121d;
  --warn:#7a4e00;--seen:#3a6ea5;--s0:#f3f5f7;--s1:#deebf7;--s2:#b5d0ea;--s3:#7fb0d8;--s4:#3c7fb6;--over:#b3121d;
  --extra:#b85c00;--many:#7a3ea0;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--line:#3a434d;--back:#14181d;--panel:#1c2229;
  --good:#56c271;--bad:#ff7b7b;--warn:#e3b04b;--seen:#5b93cf;--s0:#20262d;--s1:#23374b;--s2:#2a4d70;--s3:#356896;
  --s4:#4c8cc4;--over:#d94a4f;--extra:#cf7a1f;--many:#a06cc8}
}
@media print{:root{--ink:#000;--soft:#333;--line:#999;--back:#fff;--panel:#fff;--good:#000;--bad:#000;--warn:#000}
body{font-size:9.5pt;max-width:none!important}
section.case{break-inside:avoid}
details::details-content{content-visibility:visible;display:block}
a{color:inherit;text-decoration:none}
thead{display:table-header-group}
.wide{overflow:visible!important}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
*{box-sizing:border-box}
body{font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);background:var(--back);
  max-width:70rem;margin:0 auto;padding:1rem}
h1{font-size:1.35rem;margin:.2rem 0}
h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0}
a{color:inherit}
code,pre{font:12.5px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
pre{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.5rem .7rem;white-space:pre-wrap;
  margin:.3rem 0}
.verdict{font-size:1.15rem;font-weight:600;border-left:6px solid;padding:.4rem .8rem;background:var(--panel);
  margin:.6rem 0}
.good{color:var(--good)}
.bad{color:var(--bad)}
.warn{color:var(--warn)}
.soft{color:var(--soft)}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px}
th,td{text-align:left;padding:.15rem .7rem .15rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.cell{white-space:nowrap}
th{font-weight:600}
thead th{white-space:nowrap}
.matrix th[scope=row]{font-weight:400;position:sticky;left:0;background:var(--back)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem .9rem;margin:.3rem 0}
dt{color:var(--soft)}
dd{margin:0;min-width:0}
.figures{display:flex;flex-wrap:wrap;gap:1rem 2rem;align-items:flex-start}
figure{margin:.4rem 0;max-width:100%}
figcaption{font-size:12.5px;color:var(--soft);max-width:24rem}
svg{max-width:100%;height:auto;display:block}
section.case{border:1px solid var(--line);border-radius:8px;padding:.2rem .9rem .7rem;margin:.9rem 0}
summary{cursor:pointer}
.key{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;font-size:12.5px;align-items:center}
.key span{display:inline-flex;align-items:center;gap:.35rem}
.key svg{width:16px;height:16px;flex:none}
svg text{fill:var(--ink);font:10px ui-monospace,Menlo,Consolas,monospace}
svg .axis{fill:var(--soft);font-size:9px}
svg path{stroke:var(--line);stroke-width:.75}
svg .rule{stroke-dasharray:2 3}
svg .tick{stroke:var(--soft)}
.unseen,.shade0{fill:var(--s0)}
.seen{fill:var(--seen)}
.missing,.unreadable{fill:var(--back)}
.missing{stroke:var(--over)!important;stroke-width:2!important}
.extra{fill:var(--extra)}
.multiple{fill:var(--many)}
.over{fill:var(--over)}
.shade1{fill:var(--s1)}
.shade2{fill:var(--s2)}
.shade3{fill:var(--s3)}
.shade4{fill:var(--s4)}
svg .on-extra,svg .on-multiple,svg .on-over,svg .on-shade4{fill:#fff;font-weight:700}
svg .on-missing{fill:var(--over);font-weight:700}
.bar{fill:var(--seen)}
.bar.alarm{fill:var(--over)}
@media (max-width:480px){body{padding:.7rem;font-size:14.5px}
section.case{padding:.1rem .6rem .5rem}
dl{grid-template-columns:1fr}
dd{margin-bottom:.3rem}
}
"""
