#!/usr/bin/env python3
"""Boosted trees of XGBoost, LightGBM and CatBoost: other_boosters.py OUT [REGEX]"""
import tempfile
import warnings

import catboost
import lightgbm
import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from other_common import BATCHES, build, write_model

warnings.filterwarnings("ignore")
rng = np.random.default_rng(11)
X = rng.normal(size=(1200, 10)).astype(np.float32)
HOLES = np.where(rng.random(X.shape) < 0.2, np.nan, X).astype(np.float32)
SCORE = X[:, 0] + X[:, 1] * X[:, 2] - 0.5 * X[:, 3]
CLASSES = {2: (SCORE > 0).astype(int), 3: np.digitize(SCORE, [-0.6, 0.6]), 7: np.digitize(SCORE, np.linspace(-2, 2, 6))}
COUNT = rng.poisson(np.exp(0.3 * SCORE))
SPARSE = np.where(rng.random(X.shape) < 0.5, 0, np.round(X * 3)).astype(np.float32)


def draw(x, n):
    r = np.random.default_rng(n)
    return x[r.integers(0, len(x), n)] + (r.normal(size=(n, x.shape[1]), scale=0.05).astype(np.float32) if x is not SPARSE else 0)


def made(model, x, y, convert):
    def make(out, name):
        fitted = model.fit(x, y)
        write_model(out, name, convert(fitted, x), {f"b{n}": [draw(x, n).astype(np.float32)] for n in BATCHES})
    return make


def by_xgboost(m, x):
    return onnxmltools.convert_xgboost(m, initial_types=[("X", FloatTensorType([None, x.shape[1]]))])


def by_lightgbm(zipmap=True, split=None):
    return lambda m, x: onnxmltools.convert_lightgbm(m, initial_types=[("X", FloatTensorType([None, x.shape[1]]))], zipmap=zipmap, split=split)


def by_catboost(m, x):
    with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
        m.save_model(f.name, format="onnx")
        return open(f.name, "rb").read()


def all_models():
    m = {}
    xgb, lgb, cat = xgboost, lightgbm, catboost
    quiet = dict(verbose=-1, n_jobs=1)
    for k, y in CLASSES.items():
        m[f"xgb_c{k}"] = made(xgb.XGBClassifier(n_estimators=50, n_jobs=1), X, y, by_xgboost)
        m[f"xgb_c{k}_nan"] = made(xgb.XGBClassifier(n_estimators=20, max_depth=4, n_jobs=1), HOLES, y, by_xgboost)
        m[f"lgb_c{k}"] = made(lgb.LGBMClassifier(n_estimators=50, **quiet), X, y, by_lightgbm())
        m[f"lgb_c{k}_nan"] = made(lgb.LGBMClassifier(n_estimators=20, **quiet), HOLES, y, by_lightgbm(False))
        m[f"cat_c{k}"] = made(cat.CatBoostClassifier(iterations=50, depth=5, verbose=0, thread_count=1, allow_writing_files=False), X, y, by_catboost)
    m["lgb_c2_zero"] = made(lgb.LGBMClassifier(n_estimators=20, zero_as_missing=True, **quiet), SPARSE, CLASSES[2], by_lightgbm(False))
    m["lgb_c2_rf"] = made(lgb.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, n_estimators=20, **quiet), X, CLASSES[2], by_lightgbm(False))
    m["lgb_c2_dart"] = made(lgb.LGBMClassifier(boosting_type="dart", n_estimators=20, **quiet), X, CLASSES[2], by_lightgbm(False))
    m["lgb_c3_ova"] = made(lgb.LGBMClassifier(objective="multiclassova", n_estimators=10, **quiet), X, CLASSES[3], by_lightgbm(False))
    m["lgb_c2_ce"] = made(lgb.LGBMClassifier(objective="cross_entropy", n_estimators=10, **quiet), X, CLASSES[2], by_lightgbm(False))
    categories = np.column_stack([X[:, :4], rng.integers(0, 6, (1200, 2))]).astype(np.float32)
    m["lgb_r_cat"] = lambda out, name: write_model(out, name, by_lightgbm()(lgb.LGBMRegressor(n_estimators=20, **quiet).fit(categories, SCORE, categorical_feature=[4, 5]), categories),
                                                   {f"b{n}": [categories[np.arange(n) % 1200]] for n in BATCHES})
    for objective in ("regression", "regression_l1", "huber", "poisson", "quantile", "tweedie", "gamma", "mape"):
        y = COUNT + 0.1 if objective in ("poisson", "tweedie", "gamma") else SCORE
        m[f"lgb_r_{objective}"] = made(lgb.LGBMRegressor(objective=objective, n_estimators=30, **quiet), X, y, by_lightgbm())
    m["lgb_r_split"] = made(lgb.LGBMRegressor(n_estimators=100, **quiet), X, SCORE, by_lightgbm(split=30))
    m["lgb_r_big"] = made(lgb.LGBMRegressor(n_estimators=500, num_leaves=63, **quiet), X, SCORE, by_lightgbm())
    m["lgb_r_nan"] = made(lgb.LGBMRegressor(n_estimators=50, **quiet), HOLES, SCORE, by_lightgbm())
    m["lgb_rank"] = lambda out, name: write_model(out, name, by_lightgbm()(lgb.LGBMRanker(n_estimators=20, **quiet).fit(X, CLASSES[3], group=[100] * 12), X),
                                                  {f"b{n}": [draw(X, n)] for n in BATCHES})
    for objective in ("reg:squarederror", "reg:logistic", "count:poisson", "reg:tweedie", "reg:gamma", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror"):
        y = CLASSES[2] if "logistic" in objective else COUNT + 0.1 if objective.split(":")[1] in ("poisson", "tweedie", "gamma", "squaredlogerror") else SCORE
        m[f"xgb_r_{objective.split(':')[1]}"] = made(xgb.XGBRegressor(objective=objective, n_estimators=30, n_jobs=1), X, y, by_xgboost)
    m["xgb_r_nan"] = made(xgb.XGBRegressor(n_estimators=50, n_jobs=1), HOLES, SCORE, by_xgboost)
    m["xgb_r_big"] = made(xgb.XGBRegressor(n_estimators=500, max_depth=8, n_jobs=1), X, SCORE, by_xgboost)
    m["xgb_rf"] = made(xgb.XGBRFRegressor(n_estimators=30, n_jobs=1), X, SCORE, by_xgboost)
    m["xgb_rfc"] = made(xgb.XGBRFClassifier(n_estimators=30, n_jobs=1), X, CLASSES[3], by_xgboost)
    m["xgb_dart"] = made(xgb.XGBRegressor(booster="dart", n_estimators=20, n_jobs=1), X, SCORE, by_xgboost)
    m["xgb_linear"] = made(xgb.XGBRegressor(booster="gblinear", n_estimators=20, n_jobs=1), X, SCORE, by_xgboost)
    m["xgb_hinge"] = made(xgb.XGBClassifier(objective="binary:hinge", n_estimators=20, n_jobs=1), X, CLASSES[2], by_xgboost)
    m["xgb_multi"] = made(xgb.XGBRegressor(n_estimators=20, n_jobs=1), X, np.stack([SCORE, X[:, 4]], 1), by_xgboost)
    m["xgb_rank"] = lambda out, name: write_model(out, name, by_xgboost(xgb.XGBRanker(n_estimators=20).fit(X, CLASSES[3], group=[100] * 12), X), {f"b{n}": [draw(X, n)] for n in BATCHES})
    m["cat_r"] = made(cat.CatBoostRegressor(iterations=100, depth=6, verbose=0, thread_count=1, allow_writing_files=False), X, SCORE, by_catboost)
    m["cat_r_nan"] = made(cat.CatBoostRegressor(iterations=30, depth=6, verbose=0, thread_count=1, allow_writing_files=False), HOLES, SCORE, by_catboost)
    m["cat_r_big"] = made(cat.CatBoostRegressor(iterations=500, depth=8, verbose=0, thread_count=1, allow_writing_files=False), X, SCORE, by_catboost)
    m["cat_r_loss"] = made(cat.CatBoostRegressor(iterations=30, depth=4, grow_policy="Lossguide", verbose=0, thread_count=1, allow_writing_files=False), X, SCORE, by_catboost)
    m["cat_c3_words"] = made(cat.CatBoostClassifier(iterations=20, depth=4, verbose=0, thread_count=1, allow_writing_files=False), X, np.array(["a", "b", "c"])[CLASSES[3]], by_catboost)
    m["cat_multi"] = made(cat.CatBoostRegressor(iterations=20, depth=4, loss_function="MultiRMSE", verbose=0, thread_count=1, allow_writing_files=False), X, np.stack([SCORE, X[:, 4]], 1), by_catboost)
    return m


if __name__ == "__main__":
    build(all_models())
